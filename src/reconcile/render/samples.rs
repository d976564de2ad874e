//! Plans that the tests of rendering share, and the comparison with blessed files.

use std::{env, fs, path::Path};

use serde_json::{Value, json};

use super::{Header, Options, render_json, render_markdown, render_text};
use crate::{
    model::{
        ClusterName, Component, Generated, Item, Key, Kind, Object, ObjectKey, Ownership, Recipe,
        Revision, Row, RowKey, Slug, TargetId, document::Document, names, revision::Commit,
    },
    reconcile::{
        live::{Change, Sighting, Why},
        plan::{Action, Guard, Held, Note, Plan, Step},
    },
};

/// Secret values that stand in the sample plans and must stand in no output.
pub const CANARIES: [&str; 8] = [
    "canary-data",
    "canary-url",
    "canary-env",
    "canary-row",
    "canary-why",
    "canary-argument",
    "canary-annotation",
    "canary-header",
];

pub fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

pub fn object(kind: Kind, name: &str) -> Key {
    Key::Object(ObjectKey {
        cluster: ClusterName::Local,
        kind,
        namespace: "platform".to_owned(),
        name: name.to_owned(),
    })
}

pub fn change(path: &str, old: Value, new: Value) -> Change {
    let some = |value: Value| (!value.is_null()).then_some(value);
    Change {
        path: path.to_owned(),
        old: some(old),
        new: some(new),
        taken_by: None,
    }
}

pub fn step(owner: &str, key: Key, action: Action) -> Step {
    Step {
        key,
        slug: Some(slug(owner)),
        action,
        wave: 0,
        after: Vec::new(),
    }
}

fn item(owner: &str, component: Component, manifest: Value) -> Item {
    let slug = slug(owner);
    Item::Object(Object {
        ownership: Some(Ownership {
            slug: Some(slug),
            component,
        }),
        manifest: Document::of(manifest),
    })
}

pub fn image(tag: &str, digits: &str) -> String {
    let digest = digits.repeat(64 / digits.len());
    format!("ghcr.io/platformnetwork/prism:{tag}@sha256:{digest}")
}

pub fn workload(owner: &str, env: Value) -> Item {
    let manifest = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": names::workload(&slug(owner)), "namespace": "platform"},
        "spec": {
            "replicas": 1,
            "template": {"spec": {"containers": [{
                "name": "challenge", "image": image("1.4.2", "9ab2"), "env": env,
                "command": ["prism", "serve"],
                "ports": [{"containerPort": 8000, "protocol": "TCP"}],
            }]}},
        },
    });
    item(owner, Component::Challenge, manifest)
}

pub fn update(new: Item, changes: Vec<Change>) -> Action {
    Action::Update {
        new,
        seen: Some(Sighting {
            uid: "u-1".to_owned(),
            version: "7".to_owned(),
            standing: None,
        }),
        before: None,
        changes,
    }
}

pub fn row(changes: Vec<Change>) -> Action {
    let new = Item::Row(Row(json!({"emission_percent": 35, "version": "1.4.2"})));
    Action::Update {
        new,
        seen: None,
        before: None,
        changes,
    }
}

pub fn delete() -> Action {
    Action::Delete {
        seen: Some(("u-2".to_owned(), "77".to_owned())),
    }
}

pub fn empty() -> Plan {
    let commit = Commit {
        id: "3f2a9c1d00000000000000000000000000000000".to_owned(),
        subject: "raise prism to 35".to_owned(),
    };
    Plan {
        revision: Revision {
            digest: format!("sha256:{}", "5".repeat(64)),
            commit: Some(commit),
        },
        steps: Vec::new(),
        held: Vec::new(),
        unchanged: 104,
        guards: Vec::new(),
        shares: Default::default(),
        notes: Vec::new(),
    }
}

pub fn header() -> Header {
    Header {
        source: "platform.yaml".to_owned(),
        cluster: "kind-dev/platform".to_owned(),
        database: "sqlite:platform.db".to_owned(),
        held_for: [(slug("slow-one"), "2 m".to_owned())].into(),
    }
}

/// A challenge that changes, a new one, a removed one, one that waits.
pub fn everyday() -> Plan {
    let mut plan = empty();
    let path = "spec.template.spec.containers[challenge].image";
    let changes = vec![change(
        path,
        image("1.4.1", "1c0f").into(),
        image("1.4.2", "9ab2").into(),
    )];
    let emission = vec![change("emission_percent", json!(30), json!(35))];
    plan.steps = vec![
        step(
            "prism",
            Key::Row(RowKey::Challenge(slug("prism"))),
            row(emission),
        ),
        step(
            "prism",
            object(Kind::StatefulSet, "challenge-prism"),
            update(workload("prism", json!([])), changes),
        ),
    ];
    plan.steps.extend(made("new-one"));
    plan.steps.extend(removed("old-one"));
    plan.held = kept("old-one");
    plan.held
        .push(waits("slow-one", Kind::StatefulSet, "0/1, image pull"));
    let share = |before: &str, after: &str| (before.to_owned(), after.to_owned());
    plan.shares = [
        (slug("agent-challenge"), share("33.33 %", "30.00 %")),
        (slug("prism"), share("66.67 %", "70.00 %")),
    ]
    .into();
    plan
}

fn made(owner: &str) -> Vec<Step> {
    let name = names::workload(&slug(owner));
    let tokens = Item::Generated(Generated {
        ownership: Ownership {
            slug: Some(slug(owner)),
            component: Component::ChallengeSecret,
        },
        manifest: Document::of(
            json!({"kind": "Secret", "metadata": {"name": names::token_secret(&slug(owner))}}),
        ),
        recipe: Recipe::Tokens,
    });
    let service = item(
        owner,
        Component::Challenge,
        json!({"kind": "Service", "metadata": {"name": name}}),
    );
    let mut last = step(
        owner,
        object(Kind::StatefulSet, &name),
        Action::Create(workload(
            owner,
            json!([{"name": "LOG_LEVEL", "value": "info"}]),
        )),
    );
    last.after = object(Kind::StatefulSet, &names::postgres(&slug(owner)))
        .object()
        .cloned()
        .into_iter()
        .collect();
    vec![
        step(
            owner,
            object(Kind::Secret, &names::token_secret(&slug(owner))),
            Action::Create(tokens),
        ),
        step(owner, object(Kind::Service, &name), Action::Create(service)),
        last,
        step(
            owner,
            Key::Row(RowKey::Challenge(slug(owner))),
            Action::Create(Item::Row(Row(json!({"slug": owner, "version": "1.0"})))),
        ),
        step(
            owner,
            Key::Row(RowKey::Tokens(slug(owner))),
            Action::Create(Item::TokenRow),
        ),
    ]
}

fn removed(owner: &str) -> Vec<Step> {
    let name = names::workload(&slug(owner));
    let row = Action::Delete { seen: None };
    vec![
        step(owner, object(Kind::Service, &name), delete()),
        step(owner, object(Kind::StatefulSet, &name), delete()),
        step(owner, Key::Row(RowKey::Challenge(slug(owner))), row),
    ]
}

fn kept(owner: &str) -> Vec<Held> {
    let of = slug(owner);
    let keys = [
        object(Kind::Secret, &names::postgres_secret(&of)),
        object(Kind::PersistentVolumeClaim, &names::postgres_claim(&of)),
        object(Kind::PersistentVolumeClaim, &names::data_claim(&of)),
    ];
    let retained = |key| Held::Retained {
        key,
        slug: Some(slug(owner)),
    };
    keys.into_iter().map(retained).collect()
}

fn waits(owner: &str, kind: Kind, why: &str) -> Held {
    Held::Waits {
        key: object(kind, &names::workload(&slug(owner))),
        slug: Some(slug(owner)),
        on: object(Kind::StatefulSet, &names::postgres(&slug(owner))),
        why: Why::from(why),
    }
}

/// Everything else that a plan can say.
pub fn rare() -> Plan {
    let mut plan = empty();
    plan.revision.commit = None;
    let replicas = Change {
        taken_by: Some("kubectl-edit".to_owned()),
        ..change("spec.replicas", json!(3), json!(1))
    };
    let order = change(
        "spec.template.spec.containers[challenge].env",
        json!(["B", "A"]),
        json!(["A", "B"]),
    );
    let target = TargetId::parse("gpu-eu-1").unwrap();
    let namespace = Item::Object(Object {
        ownership: None,
        manifest: Document::of(json!({"kind": "Namespace", "metadata": {"name": "platform"}})),
    });
    let shared = |key, action| Step {
        slug: None,
        ..step("demo", key, action)
    };
    let pod_label = change(
        "spec.template.metadata.labels[a/b]",
        Value::Null,
        json!("c"),
    );
    let database = item(
        "demo",
        Component::ChallengePostgres,
        json!({"kind": "StatefulSet"}),
    );
    let env = json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]);
    plan.steps = vec![
        shared(
            object(Kind::Namespace, "platform"),
            Action::Create(namespace),
        ),
        shared(
            Key::Row(RowKey::Target(target)),
            row(vec![change("draining", json!(false), json!(true))]),
        ),
        step(
            "ab",
            object(Kind::StatefulSet, "challenge-ab"),
            update(workload("ab", json!([])), vec![replicas]),
        ),
        step(
            "cd",
            object(Kind::StatefulSet, "challenge-cd"),
            update(workload("cd", env), vec![order]),
        ),
        step(
            "demo",
            object(Kind::StatefulSet, "challenge-demo-postgres"),
            update(database, vec![pod_label]),
        ),
        step("demo", object(Kind::Deployment, "challenge-demo"), delete()),
        step(
            "ef",
            Key::Row(RowKey::Challenge(slug("ef"))),
            row(vec![
                change("version", json!("1.4.1"), json!("1.4.2")),
                change("name", json!("ef"), Value::Null),
            ]),
        ),
    ];
    plan.held = rare_held();
    plan.held.extend(kept("gone"));
    plan.guards = vec![
        Guard::Deletes {
            deletes: 8,
            owned: 20,
            limit_percent: 20,
        },
        Guard::Elsewhere {
            challenges: 3,
            namespace: "platform".to_owned(),
            before: None,
        },
        Guard::Elsewhere {
            challenges: 2,
            namespace: "new".to_owned(),
            before: Some("platform".to_owned()),
        },
        Guard::EmissionChange {
            slug: slug("ab"),
            basis_points: 4005,
            limit_points: 25,
        },
        Guard::Freeze {
            until: "2026-12-27T00:00Z".to_owned(),
            why: "holidays".to_owned(),
        },
    ];
    plan.notes = vec![Note {
        key: object(Kind::StatefulSet, "challenge-noted"),
        slug: Some(slug("noted")),
        text: "foreign container istio-proxy, put by istio".to_owned(),
    }];
    plan
}

fn rare_held() -> Vec<Held> {
    let key = || object(Kind::Service, "challenge-held");
    let of = || Some(slug("held"));
    let why = Why::from;
    vec![
        Held::Foreign {
            key: key(),
            slug: of(),
            why: why("labelled managed-by Helm"),
        },
        Held::Unknown {
            key: key(),
            slug: of(),
            why: why("403 forbidden to list services"),
        },
        Held::Refused {
            key: key(),
            slug: of(),
            why: why("spec.clusterIP is immutable"),
        },
        Held::Drifted {
            key: key(),
            slug: of(),
            why: why("spec.ports by kubectl-edit"),
        },
        waits("held", Kind::StatefulSet, "0/1 ready"),
        waits("held", Kind::HorizontalPodAutoscaler, "0/1 ready"),
        Held::Withheld {
            slug: slug("with"),
            why: why("no target has 8 GPUs free"),
        },
        Held::Suspended {
            slug: slug("left"),
            why: why("since 2026-01-02T03:04:05Z by ada: debugging"),
        },
        Held::RolledBack {
            slug: slug("back"),
            why: why("image x:2 of revision 1a2b3c4 did not become ready in 10m; running x:1"),
        },
    ]
}

/// Secrets wherever they could stand, and texts made to fool a terminal or a Markdown reader.
pub fn hostile() -> Plan {
    let mut plan = empty();
    let evil = "\u{1b}[2J\u{202e}gnp\u{9b}31m``` | @all <b>\n### done";
    if let Some(commit) = &mut plan.revision.commit {
        commit.subject = evil.to_owned();
    }
    let env = json!([
        {"name": "API_TOKEN", "value": "canary-env"},
        {"name": "PASSWORD_FILE", "value": "/run/secrets/p"},
        {"name": "URL", "value": "postgres://u:canary-url/p w'd@host/db"},
        {"name": "EVIL", "value": evil},
    ]);
    let container = "spec.template.spec.containers[challenge]";
    let annotation = "metadata.annotations[kubectl.kubernetes.io/last-applied-configuration]";
    let changes = vec![
        change(
            &format!("{container}.env[API_TOKEN].value"),
            json!("canary-env-old"),
            json!("canary-env"),
        ),
        change(
            &format!("{container}.env[OLD_SECRET]"),
            json!({"name": "OLD_SECRET", "value": "canary-env"}),
            Value::Null,
        ),
        change(
            &format!("{container}.env[URL].value"),
            json!("http://u:canary-url-old@h"),
            json!("https://canary-url@h/"),
        ),
        change(
            &format!("{container}.env[EVIL].value"),
            json!("x".repeat(5000)),
            json!(evil),
        ),
        change(
            &format!("{container}.args"),
            json!(["--token=canary-argument"]),
            json!(["--token", "-v"]),
        ),
        change(annotation, json!("canary-annotation"), Value::Null),
    ];
    let secret = item(
        "demo",
        Component::ChallengeSecret,
        json!({
            "kind": "Secret", "data": {"a": "canary-data"}, "stringData": {"b": "canary-data"},
            "metadata": {"annotations": {"x": "canary-annotation"}},
        }),
    );
    let data = vec![
        change("data[a]", json!("canary-data-old"), json!("canary-data")),
        change("data[b]", Value::Null, Value::Null),
    ];
    let env_row = change(
        "env",
        json!({"X_TOKEN": "canary-row"}),
        json!({"X_TOKEN": "canary-row-2", "Y": "1"}),
    );
    plan.steps = vec![
        step(
            "demo",
            object(Kind::Secret, "challenge-demo-secrets"),
            update(secret, data),
        ),
        step(
            "demo",
            object(Kind::StatefulSet, "challenge-demo"),
            update(workload("demo", env), changes),
        ),
        step(
            "demo",
            Key::Row(RowKey::Challenge(slug("demo"))),
            row(vec![env_row]),
        ),
    ];
    plan.held = vec![Held::Withheld {
        slug: slug("demo"),
        why: Why(format!(
            "postgres://u:canary-why@h/db?password=canary-why {evil}"
        )),
    }];
    plan.notes = vec![Note {
        key: object(Kind::Service, evil),
        slug: None,
        text: evil.to_owned(),
    }];
    plan
}

pub fn hostile_header() -> Header {
    Header {
        source: "https://canary-header@git.example/x".to_owned(),
        database: "postgres://u:canary-header@h/db".to_owned(),
        ..header()
    }
}

/// Returns every form of a plan.
pub fn all_forms(plan: &Plan, header: &Header) -> Vec<String> {
    let full = Options {
        is_full: true,
        ..Options::default()
    };
    vec![
        render_text(plan, header, &Options::default()),
        render_text(plan, header, &full),
        render_json(plan, header, &Options::default()),
        render_json(plan, header, &full),
        render_markdown(plan, header),
    ]
}

/// Compares a text with its blessed file; `BLESS=1` writes the file instead.
#[expect(
    clippy::disallowed_methods,
    reason = "a switch of the tests, no setting"
)]
pub fn assert_blessed(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if env::var_os("BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let blessed = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, blessed, "{file} differs; BLESS=1 accepts it");
}
