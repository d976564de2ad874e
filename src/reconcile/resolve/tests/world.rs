//! A small world: challenges without needs, targets without limits other than their GPUs.

use std::collections::BTreeMap;

use super::*;
use crate::model::{Emission, Quantity};
use crate::spec::platform::{
    Access, Broker, BrokerLimits, Drift, Mode, Network, Placement, PodResources, Proxy, Resources,
    Rollout, Safety, SecretRef, Storage, Target, Updates,
};

pub fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

pub fn target_id(text: &str) -> TargetId {
    TargetId::parse(text).unwrap()
}

fn quantity(text: &str) -> Quantity {
    Quantity::parse(text).unwrap()
}

fn secret() -> SecretRef {
    SecretRef {
        secret: "s".to_owned(),
        key: "k".to_owned(),
    }
}

/// A development platform with these challenges, active, each with an image of its own by tag.
pub fn world(slugs: &[&str]) -> Platform {
    let challenges = slugs.iter().map(|text| (slug(text), plain(text)));
    Platform {
        environment: Environment::Development,
        namespace: "platform".to_owned(),
        network: Network {
            name: "n".to_owned(),
            netuid: 1,
            chain_endpoint: None,
            burn_uid: 0,
            master_uid: 0,
            version_key: 0,
            metagraph_file: None,
        },
        challenges: challenges.collect(),
        targets: BTreeMap::new(),
        broker: Broker {
            url: String::new(),
            allowed_images: Vec::new(),
            gpu_resource_name: "nvidia.com/gpu".to_owned(),
            allow_privileged: false,
            privileged_slugs: Vec::new(),
        },
        safety: Safety {
            max_deleted_percent: 20,
            max_emission_change_points: 25,
            freeze: Vec::new(),
        },
    }
}

fn plain(text: &str) -> Challenge {
    Challenge {
        slug: slug(text),
        name: text.to_owned(),
        version: "1".to_owned(),
        api_version: "1.0".to_owned(),
        description: None,
        image: ImageRef::parse(&format!("ghcr.io/o/{text}:1")).unwrap(),
        status: Status::Active,
        emission: Emission::default(),
        internal_base_url: format!("http://challenge-{text}:8000"),
        port: 8000,
        required_capabilities: Vec::new(),
        resources: Resources {
            cpu: quantity("1"),
            memory: quantity("1Gi"),
            gpu_count: None,
            target: None,
            gpu_device_ids: None,
            gpu_capabilities: None,
            memory_swap: None,
            pids_limit: None,
        },
        volumes: BTreeMap::new(),
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        metadata: BTreeMap::new(),
        worker: None,
        database: Database::Sqlite,
        storage: Storage {
            size: quantity("1Gi"),
            class: None,
            access: Access::ReadWriteOnce,
        },
        mode: Mode::StatefulSet,
        placement: Placement::default(),
        broker: BrokerLimits::default(),
        updates: Updates::Off,
        drift: Drift::Correct,
        rollout: Rollout::default(),
        proxy: Proxy::default(),
    }
}

/// A managed database with this image.
pub fn postgres(text: &str) -> Database {
    Database::Managed(Postgres {
        image: ImageRef::parse(text).unwrap(),
        storage_size: quantity("1Gi"),
        storage_class: None,
        resources: PodResources::default(),
    })
}

/// A challenge of the world, to be changed.
pub fn challenge<'a>(platform: &'a mut Platform, text: &str) -> &'a mut Challenge {
    platform.challenges.get_mut(text).unwrap()
}

/// Adds an enabled target, reached directly, and returns it to be changed.
pub fn target<'a>(platform: &'a mut Platform, text: &str, gpu_count: u32) -> &'a mut Target {
    let id = target_id(text);
    let target = Target {
        id: id.clone(),
        reach: Reach::Direct {
            kubeconfig: secret(),
            api_url: None,
        },
        description: None,
        namespace: "platform".to_owned(),
        service_account: "platform-master".to_owned(),
        enabled: true,
        draining: false,
        verify_tls: true,
        timeout_seconds: 30,
        labels: BTreeMap::new(),
        gpu_count,
        storage_class: None,
        placement: Placement::default(),
    };
    platform.targets.entry(id).or_insert(target)
}

/// An agent behind this address.
pub fn agent(url: &str) -> Reach {
    Reach::Agent {
        agent_url: url.to_owned(),
        token: secret(),
    }
}
