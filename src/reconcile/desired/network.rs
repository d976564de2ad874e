//! Who may talk to whom: one policy for a challenge, one for its Postgres.
//!
//! What policies cannot say: that a challenge must not reach the admin API or another challenge. Policies only
//! allow, and whether "the internet" covers pods too differs between network plug-ins. Both are therefore
//! closed on the other side: every challenge and database by its own policy here, the admin API by the policy
//! of the chart. Pods of the control plane are known by their labels in any namespace, for the declaration does not
//! say in which one it runs; who may make pods with these labels anywhere is trusted.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::manifest::{COMPONENT, NAME, SLUG, instance_selector, metadata, object, text_map};
use super::postgres;
use super::resolved::Resolved;
use crate::model::{Component, Item, names};

/// The name label of the control plane's pods.
const CONTROL_PLANE: &str = "platform";
/// The roles that call challenges: the door, the weight collector, and the admin role, in which it runs by default.
const CALLERS: [&str; 3] = ["admin", "proxy", "weights"];
const BROKER: &str = "broker";
/// The broker's port where its address does not tell.
const BROKER_PORT: u16 = 8082;
/// Everywhere but link-local addresses and the metadata address of EC2 in IPv6: there a cloud hands out the
/// credentials of its nodes. A resolver on a link-local address is reached by the rule for name resolution.
const OUTSIDE: [(&str, &[&str]); 2] = [
    ("0.0.0.0/0", &["169.254.0.0/16"]),
    ("::/0", &["fe80::/10", "fd00:ec2::254/128"]),
];

/// Returns the challenge's policy: in from the door, the weight collector and its own slug; out to name
/// resolution, its own slug, the broker and the outside.
pub(super) fn challenge(resolved: &Resolved<'_>) -> Item {
    let name = names::workload(resolved.slug());
    let callers = peer_anywhere(LabelSelector {
        match_labels: Some(text_map([(NAME, CONTROL_PLANE)])),
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: COMPONENT.to_owned(),
            operator: "In".to_owned(),
            values: Some(CALLERS.map(str::to_owned).to_vec()),
        }]),
    });
    let broker = peer_anywhere(labelled(text_map([
        (NAME, CONTROL_PLANE),
        (COMPONENT, BROKER),
    ])));
    let spec = NetworkPolicySpec {
        pod_selector: Some(instance_selector(&name)),
        ingress: Some(vec![
            ingress(vec![callers], vec![port("TCP", resolved.challenge.port)]),
            ingress(vec![own_slug(resolved)], vec![]),
        ]),
        egress: Some(vec![
            egress(vec![], vec![port("UDP", 53), port("TCP", 53)]),
            egress(vec![own_slug(resolved)], vec![]),
            egress(
                vec![broker],
                vec![port("TCP", broker_port(resolved.broker_url))],
            ),
            egress(OUTSIDE.map(outside).to_vec(), vec![]),
        ]),
        policy_types: policy_types(),
    };
    policy(resolved, name, Component::ChallengeNetwork, spec)
}

/// Returns the database's policy: in from its own slug and the control plane, out to itself.
pub(super) fn database(resolved: &Resolved<'_>) -> Item {
    let name = names::postgres(resolved.slug());
    let control_plane = peer_anywhere(labelled(text_map([(NAME, CONTROL_PLANE)])));
    let itself = peer_here(instance_selector(&name));
    let spec = NetworkPolicySpec {
        pod_selector: Some(instance_selector(&name)),
        ingress: Some(vec![ingress(
            vec![own_slug(resolved), control_plane],
            vec![port("TCP", postgres::PORT)],
        )]),
        // No rule would say the same, but a field that is not written is not guarded either.
        egress: Some(vec![egress(vec![itself], vec![])]),
        policy_types: policy_types(),
    };
    policy(resolved, name, Component::ChallengePostgresNetwork, spec)
}

fn policy(
    resolved: &Resolved<'_>,
    name: String,
    component: Component,
    spec: NetworkPolicySpec,
) -> Item {
    let policy = NetworkPolicy {
        metadata: metadata(resolved, name, component),
        spec: Some(spec),
    };
    object(resolved, component, policy)
}

fn policy_types() -> Option<Vec<String>> {
    Some(["Ingress", "Egress"].map(str::to_owned).to_vec())
}

fn ingress(
    from: Vec<NetworkPolicyPeer>,
    ports: Vec<NetworkPolicyPort>,
) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule {
        from: Some(from),
        ports: Some(ports),
    }
}

fn egress(to: Vec<NetworkPolicyPeer>, ports: Vec<NetworkPolicyPort>) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: Some(to),
        ports: Some(ports),
    }
}

/// A policy sees a pod's port, so a broker behind a Service must listen on the port of its address.
fn broker_port(url: &str) -> u16 {
    let url = url::Url::parse(url).ok();
    let port = url.and_then(|url| url.port_or_known_default());
    port.unwrap_or(BROKER_PORT)
}

fn port(protocol: &str, number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        end_port: None,
        port: Some(IntOrString::Int(i32::from(number))),
        protocol: Some(protocol.to_owned()),
    }
}

fn own_slug(resolved: &Resolved<'_>) -> NetworkPolicyPeer {
    peer_here(labelled(text_map([(SLUG, resolved.slug().as_str())])))
}

fn labelled(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector {
        match_labels: Some(labels),
        ..LabelSelector::default()
    }
}

fn peer_here(pods: LabelSelector) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        pod_selector: Some(pods),
        ..NetworkPolicyPeer::default()
    }
}

fn peer_anywhere(pods: LabelSelector) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector::default()),
        ..peer_here(pods)
    }
}

fn outside((cidr, except): (&str, &[&str])) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: cidr.to_owned(),
            except: Some(except.iter().map(|&range| range.to_owned()).collect()),
        }),
        ..NetworkPolicyPeer::default()
    }
}
