//! Why a workload is not ready: what its pods say. Asked only while something is not ready, so that a pass
//! over a world at rest sends no request more.

use std::collections::BTreeMap;

use serde_json::Value;

use super::observe::Place;
use super::{Live, Readiness, Seen, UNSEEN, UNTOLD};
use crate::edge::cluster::ClusterRead;
use crate::model::Key;

/// The label by which a workload selects its pods; its value is the workload's name.
const INSTANCE: &str = "app.kubernetes.io/instance";

/// Adds the reason of its pods to each workload of a place that is not ready. A reason is a remark: where
/// pods cannot be listed, how many are ready is told all the same.
pub(super) async fn tell_reasons(reader: &dyn ClusterRead, place: &Place<'_>, live: &mut Live) {
    let is_waiting = |(key, seen): (&Key, &Seen)| is_unready(place, key, seen);
    if !live.seen.iter().any(is_waiting) {
        return;
    }
    let pods = reader.list_pods(&place.namespace, &place.scope).await;
    let reasons = pods.as_deref().map(reasons);
    for (key, seen) in &mut live.seen {
        if !is_unready(place, key, seen) {
            continue;
        }
        if let (Some(key), Seen::Object(observed)) = (key.object(), seen)
            && let Readiness::NotReady(state) = &mut observed.readiness
            && let Some(reason) = match &reasons {
                Ok(reasons) => reasons.get(key.name.as_str()).map(String::as_str),
                Err(_) => Some(UNTOLD).filter(|_| state != UNSEEN),
            }
        {
            *state = format!("{state}: {reason}");
        }
    }
}

fn is_unready(place: &Place<'_>, key: &Key, seen: &Seen) -> bool {
    let is_here = key
        .object()
        .is_some_and(|key| key.cluster == place.cluster && key.namespace == place.namespace);
    let is_unready = matches!(seen, Seen::Object(observed) if matches!(observed.readiness, Readiness::NotReady(_)));
    is_here && is_unready
}

/// Returns the first reason that a pod of each workload gives.
fn reasons(pods: &[Value]) -> BTreeMap<&str, String> {
    let told = pods.iter().filter_map(|pod| {
        let workload = pod["metadata"]["labels"][INSTANCE].as_str()?;
        Some((workload, reason(pod)?))
    });
    let mut reasons = BTreeMap::new();
    for (workload, reason) in told {
        reasons.entry(workload).or_insert(reason);
    }
    reasons
}

/// Returns why a pod is not ready in the cluster's own word, if it has one. Its messages are not repeated:
/// they hold what an image's registry or a volume's driver answered.
fn reason(pod: &Value) -> Option<String> {
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        return Some("its old pod is ending".to_owned());
    }
    let status = &pod["status"];
    let containers = ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .flat_map(|list| status[list].as_array().into_iter().flatten());
    let mut waiting = containers.filter_map(|container| {
        let state = &container["state"];
        let word = &state["waiting"]["reason"];
        word.as_str()
            .or_else(|| state["terminated"]["reason"].as_str())
    });
    let unscheduled = || {
        let mut conditions = status["conditions"].as_array().into_iter().flatten();
        let condition =
            conditions.find(|c| c["type"] == "PodScheduled" && c["status"] == "False")?;
        condition["reason"].as_str()
    };
    let word = waiting.next().or_else(unscheduled)?;
    // A reason is a word in camel case; anything else is not for people's terminals.
    let is_word = word.len() <= 64 && word.chars().all(|c| c.is_ascii_alphanumeric());
    is_word.then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: Value) -> Value {
        json!({"metadata": {"labels": {INSTANCE: "challenge-demo"}}, "status": status})
    }

    #[test]
    fn the_first_waiting_container_tells_why() {
        let waiting =
            |reason: &str| json!({"state": {"waiting": {"reason": reason, "message": "canary"}}});
        let running = json!({"state": {"running": {}}});
        let pods = [
            pod(json!({"containerStatuses": [running, waiting("ImagePullBackOff")]})),
            pod(json!({"containerStatuses": [waiting("Other")]})),
        ];
        let told = reasons(&pods);
        assert_eq!(told["challenge-demo"], "ImagePullBackOff");
        assert_eq!(reason(&pod(json!({"containerStatuses": [running]}))), None);
        let odd = pod(json!({"containerStatuses": [waiting("\u{1b}[31m")]}));
        assert_eq!(reason(&odd), None);
    }

    #[test]
    fn a_pod_without_a_node_tells_why() {
        let condition =
            json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable"});
        let told = reason(&pod(json!({"conditions": [condition]})));
        assert_eq!(told.as_deref(), Some("Unschedulable"));
    }
}
