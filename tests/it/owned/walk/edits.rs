//! Edits by others, at random: any value, removed, changed, added, taken, or its record wiped.

use platform::model::{Kind, ObjectKey};
use serde_json::{Value, json};

use crate::owned::pass::{Passes, US};
use crate::support::dice::Dice;

/// Who edits. Ours is among them: a client that uses our name.
const MANAGERS: [&str; 4] = ["kubectl-edit", "kubectl", "argocd", US];
/// Labels by which an object is ours: without them it is a stranger's, which is another case.
const IDENTITY: [&str; 3] = [
    "app.kubernetes.io/managed-by",
    "platform.component",
    "platform.challenge.slug",
];

/// Edits one object.
pub struct Editor<'a> {
    passes: &'a Passes,
    key: &'a ObjectKey,
    /// What we wanted of it at the beginning of the round.
    want: &'a Value,
}

impl<'a> Editor<'a> {
    pub fn new(passes: &'a Passes, key: &'a ObjectKey, want: &'a Value) -> Self {
        Self { passes, key, want }
    }

    /// Makes one edit and says which; the server may have refused it.
    pub async fn edit(&self, dice: &mut Dice) -> String {
        let Some(live) = self
            .passes
            .world
            .get(self.key.kind.plural(), &self.key.name)
            .await
        else {
            return "gone".to_owned();
        };
        let manager = *dice.pick(&MANAGERS);
        let (told, answer) = match dice.below(20) {
            0 => {
                let wipe = json!({"metadata": {"managedFields": [{}]}});
                (
                    "wipe".to_owned(),
                    self.send("", "merge-patch+json", manager, wipe).await,
                )
            }
            1 | 2 => {
                let part = taken(&live, dice);
                let told = format!("apply {part}");
                (
                    told,
                    self.send("", "apply-patch+yaml", "argocd", part).await,
                )
            }
            3 => {
                // Another client under our name, with what we wanted before and one thing more.
                let mut part = self.want.clone();
                part["metadata"]["annotations"]["misused"] = json!(dice.below(3).to_string());
                let told = "apply under our name".to_owned();
                (told, self.send("", "apply-patch+yaml", US, part).await)
            }
            4 | 5 if self.is_workload() => {
                let count = json!({"spec": {"replicas": dice.below(4)}});
                let told = format!("scale {count}");
                (
                    told,
                    self.send("/scale", "merge-patch+json", manager, count)
                        .await,
                )
            }
            6..=9 if !self.is_awaited() => {
                let patch = self.special(&live, dice);
                let told = format!("{patch} by {manager}");
                (told, self.send("", "json-patch+json", manager, patch).await)
            }
            _ => {
                let patch = any_edit(&live, self.is_awaited(), dice);
                let told = format!("{patch} by {manager}");
                (told, self.send("", "json-patch+json", manager, patch).await)
            }
        };
        match answer {
            Ok(()) => told,
            Err((code, _)) => format!("{code} {told}"),
        }
    }

    fn is_workload(&self) -> bool {
        matches!(self.key.kind, Kind::StatefulSet | Kind::Deployment)
    }

    /// A challenge waits for its database, and would for ever if others left that unable to start.
    fn is_awaited(&self) -> bool {
        self.key.kind == Kind::StatefulSet && self.key.name.ends_with("-postgres")
    }

    async fn send(
        &self,
        below: &str,
        content: &str,
        by: &str,
        body: Value,
    ) -> Result<(), (u16, String)> {
        let path = self
            .passes
            .world
            .api(self.key.kind.plural(), &self.key.name);
        let force = if content.starts_with("apply") {
            "&force=true"
        } else {
            ""
        };
        let path = format!("{path}{below}?fieldManager={by}{force}");
        let content = format!("application/{content}");
        let admin = &self.passes.world.admin;
        admin
            .send_as("PATCH", &path, &content, Some(body))
            .await
            .map(|_| ())
    }

    /// Edits that are likely in life and that chance would rarely find.
    fn special(&self, live: &Value, dice: &mut Dice) -> Value {
        let container = "/spec/template/spec/containers/0";
        let add = |path: &str, value: Value| json!([{"op": "add", "path": path, "value": value}]);
        match self.key.kind {
            Kind::Service => match dice.below(5) {
                0 => {
                    json!([{"op": "replace", "path": "/spec/ports/0/port", "value": 7000 + dice.below(3)}])
                }
                1 => json!([{"op": "replace", "path": "/spec/ports/0/protocol", "value": "UDP"}]),
                2 => json!([{"op": "replace", "path": "/spec/type", "value": "NodePort"}]),
                3 => {
                    let number = 7000 + dice.below(3);
                    add(
                        "/spec/ports/0",
                        json!({"name": format!("p{number}"), "port": number, "protocol": "TCP"}),
                    )
                }
                _ => add("/spec/selector/x", json!("y")),
            },
            Kind::NetworkPolicy => add("/spec/ingress/0", json!({"from": [{"podSelector": {}}]})),
            Kind::StatefulSet | Kind::Deployment => match dice.below(6) {
                0 => {
                    let env = &live["spec"]["template"]["spec"]["containers"][0]["env"];
                    let turned: Vec<&Value> = env.as_array().into_iter().flatten().rev().collect();
                    json!([{"op": "replace", "path": format!("{container}/env"), "value": turned}])
                }
                1 => add(
                    &format!("{container}/env/0"),
                    json!({"name": *dice.pick(&["A", "AA", "X"]), "value": "x"}),
                ),
                2 => {
                    let name = format!("s{}", dice.below(3));
                    add(
                        "/spec/template/spec/containers/0",
                        json!({"name": name, "image": "sidecar:1"}),
                    )
                }
                3 => {
                    let port = json!(7000 + dice.below(3));
                    json!([{"op": "replace", "path": format!("{container}/ports/0/containerPort"), "value": port}])
                }
                4 => add(
                    "/spec/template/spec/nodeSelector",
                    json!({"kubernetes.io/os": "linux"}),
                ),
                _ => {
                    let path = format!("{container}/resources/limits/cpu");
                    json!([{"op": "replace", "path": path, "value": *dice.pick(&["2", "1000m", "1"])}])
                }
            },
            _ => json!([{"op": "replace", "path": "/spec/maxReplicas", "value": 7}]),
        }
    }
}

/// Removes or changes one value, anywhere below `spec`, labels and annotations.
fn any_edit(live: &Value, is_awaited: bool, dice: &mut Dice) -> Value {
    let mut paths = Vec::new();
    for top in ["/spec", "/metadata/labels", "/metadata/annotations"] {
        collect(live.pointer(top).unwrap_or(&Value::Null), top, &mut paths);
    }
    if is_awaited {
        paths.retain(|path| !path.starts_with("/spec/template"));
    }
    let path = dice.pick(&paths);
    let value = live.pointer(path).unwrap_or(&Value::Null);
    match (dice.below(3), changed(value)) {
        (1 | 2, Some(value)) => json!([{"op": "replace", "path": path, "value": value}]),
        _ => json!([{"op": "remove", "path": path}]),
    }
}

fn collect(value: &Value, path: &str, paths: &mut Vec<String>) {
    if IDENTITY
        .iter()
        .any(|label| path == format!("/metadata/labels/{}", label.replace('/', "~1")))
    {
        return;
    }
    // All labels at once hold those, and `/spec` is everything.
    if path != "/metadata/labels" && path != "/spec" {
        paths.push(path.to_owned());
    }
    match value {
        Value::Object(members) => {
            for (name, below) in members {
                collect(
                    below,
                    &format!("{path}/{}", name.replace('~', "~0").replace('/', "~1")),
                    paths,
                );
            }
        }
        Value::Array(items) => {
            for (index, below) in items.iter().enumerate() {
                collect(below, &format!("{path}/{index}"), paths);
            }
        }
        _ => {}
    }
}

fn changed(value: &Value) -> Option<Value> {
    Some(match value {
        Value::Bool(is_set) => json!(!is_set),
        Value::Number(number) => json!(number.as_i64()? + 1),
        Value::String(text) => json!(format!("{text}0")),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    })
}

/// A forced apply of one value of the object, changed or as it is.
fn taken(live: &Value, dice: &mut Dice) -> Value {
    let mut paths = Vec::new();
    for top in ["/spec", "/metadata/labels"] {
        collect(live.pointer(top).unwrap_or(&Value::Null), top, &mut paths);
    }
    // Items of lists need their key beside the value; this takes values outside of lists.
    paths.retain(|path| {
        let is_index = |part: &str| part.parse::<usize>().is_ok();
        !path.split('/').any(is_index) && live.pointer(path).is_some_and(|value| !value.is_object())
    });
    let path = dice.pick(&paths);
    let value = live.pointer(path).cloned().unwrap_or_default();
    let value = match dice.chance(50) {
        true => changed(&value).unwrap_or(value),
        false => value,
    };
    let mut part = json!({
        "apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": {"name": live["metadata"]["name"]},
    });
    let mut at = &mut part;
    for name in path.split('/').skip(1) {
        at = &mut at[name.replace("~1", "/").replace("~0", "~")];
    }
    *at = value;
    part
}
