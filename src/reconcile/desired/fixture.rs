//! Declarations as tests need them: checked values, made by hand.

use std::collections::BTreeMap;

use crate::model::{Digest, Emission, ImageRef, Quantity, Slug, TargetId};
use crate::reconcile::resolve::Facts;
use crate::spec::Platform;
use crate::spec::platform::{
    Access, Broker, BrokerLimits, Challenge, Database, Drift, Environment, Mode, Network,
    Placement, PodResources, Postgres, Proxy, Reach, Resources, Rollout, Safety, SecretRef, Status,
    Storage, Target, Updates,
};

/// Returns a slug.
pub fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

/// Returns an image pinned to a digest of one repeated hex digit.
pub fn pinned(image: &str, digit: char) -> ImageRef {
    let digest = format!("sha256:{}", digit.to_string().repeat(64));
    let image = ImageRef::parse(image).unwrap();
    image.with_digest(Digest::parse(&digest).unwrap())
}

/// Returns an active challenge with a managed Postgres in StatefulSet mode.
pub fn challenge(name: &str) -> Challenge {
    Challenge {
        slug: slug(name),
        name: name.to_owned(),
        version: "1.4.2".to_owned(),
        api_version: "1.0".to_owned(),
        description: None,
        image: pinned("ghcr.io/platformnetwork/demo:1.4.2", 'a'),
        status: Status::Active,
        emission: Emission::parse("30").unwrap(),
        internal_base_url: format!("http://challenge-{name}:8000"),
        port: 8000,
        required_capabilities: vec!["get_weights".to_owned(), "proxy_routes".to_owned()],
        resources: resources(),
        volumes: BTreeMap::new(),
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        metadata: BTreeMap::new(),
        worker: None,
        database: Database::Managed(postgres()),
        storage: Storage {
            size: quantity("10Gi"),
            class: None,
            access: Access::ReadWriteOnce,
        },
        mode: Mode::StatefulSet,
        placement: placement(),
        broker: BrokerLimits::default(),
        updates: Updates::Off,
        drift: Drift::Correct,
        rollout: Rollout::default(),
        proxy: Proxy::default(),
    }
}

/// Returns a managed Postgres as declared by default.
pub fn postgres() -> Postgres {
    Postgres {
        image: pinned("postgres:16-alpine", 'b'),
        storage_size: quantity("10Gi"),
        storage_class: None,
        resources: PodResources::default(),
    }
}

/// Returns a target reached by its API server.
pub fn target(id: &str) -> Target {
    Target {
        id: TargetId::parse(id).unwrap(),
        reach: Reach::Direct {
            kubeconfig: reference("gpu-us-1", "kubeconfig"),
            api_url: None,
        },
        description: None,
        namespace: "remote".to_owned(),
        service_account: "platform-master".to_owned(),
        enabled: true,
        draining: false,
        verify_tls: true,
        timeout_seconds: 30,
        labels: BTreeMap::new(),
        gpu_count: 4,
        storage_class: Some("fast".to_owned()),
        placement: Placement {
            node_selector: BTreeMap::from([("pool".to_owned(), "gpu".to_owned())]),
            ..placement()
        },
    }
}

/// Returns a development platform with these challenges and no facts to find out.
pub fn platform(challenges: impl IntoIterator<Item = Challenge>) -> Platform {
    let named = |challenge: Challenge| (challenge.slug.clone(), challenge);
    Platform {
        environment: Environment::Development,
        namespace: "platform".to_owned(),
        network: Network {
            name: "platform".to_owned(),
            netuid: 100,
            chain_endpoint: None,
            burn_uid: 0,
            master_uid: 0,
            version_key: 0,
            metagraph_file: None,
        },
        challenges: challenges.into_iter().map(named).collect(),
        targets: BTreeMap::new(),
        broker: Broker {
            url: "http://platform-broker:8082".to_owned(),
            allowed_images: vec!["ghcr.io/platformnetwork/".to_owned()],
            gpu_resource_name: "nvidia.com/gpu".to_owned(),
            allow_privileged: false,
            privileged_slugs: vec![],
        },
        safety: Safety {
            max_deleted_percent: 20,
            max_emission_change_points: 25,
            freeze: vec![],
        },
    }
}

/// Returns a platform with a target, one challenge of each mode with everything declared, a draft and a
/// stopped one; and the facts: the first challenge runs here.
pub fn full_platform() -> (Platform, Facts) {
    let mut draft = challenge("draft");
    draft.status = Status::Draft;
    let mut stopped = challenge("stopped");
    stopped.status = Status::Inactive;
    let mut platform = platform([full_challenge("prism"), deployed("agent"), draft, stopped]);
    let target = target("gpu-us-1");
    platform.targets.insert(target.id.clone(), target);
    (platform, Facts::default())
}

/// Returns a challenge that declares everything.
pub fn full_challenge(name: &str) -> Challenge {
    let text = |pairs: &[(&str, &str)]| {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect::<BTreeMap<_, _>>()
    };
    let mut full = challenge(name);
    full.description = Some("scores prompts".to_owned());
    full.version = "1.4.2+build.7".to_owned();
    full.required_capabilities
        .push("docker_executor".to_owned());
    full.resources.gpu_count = Some(2);
    full.env = text(&[
        ("LOG_LEVEL", "info"),
        ("A_FIRST", ""),
        ("PLATFORM_CHALLENGE_SLUG", "x"),
    ]);
    full.volumes = text(&[("sqlite", "platform_prism_sqlite")]);
    full.secrets = BTreeMap::from([
        (
            "openai_api_key".to_owned(),
            reference("prism-openai", "token"),
        ),
        (
            "challenge_token".to_owned(),
            reference("somebody-else", "token"),
        ),
    ]);
    full.worker = Some(vec!["prism".to_owned(), "worker".to_owned()]);
    full.placement.tolerations = vec![serde_json::json!({"key": "gpu", "operator": "Exists"})];
    full.placement.runtime_class_name = Some("nvidia".to_owned());
    full.placement.image_pull_secrets = vec!["ghcr".to_owned()];
    if let Database::Managed(postgres) = &mut full.database {
        postgres
            .resources
            .limits
            .insert("memory".to_owned(), quantity("512Mi"));
    }
    full
}

/// Returns a challenge in Deployment mode with the built-in autoscaler and a database elsewhere.
pub fn deployed(name: &str) -> Challenge {
    use crate::spec::platform::{Autoscaling, Engine};
    let mut deployed = challenge(name);
    deployed.database = Database::External(reference("agent-database", "url"));
    deployed.storage.access = Access::ReadWriteMany;
    deployed.mode = Mode::Deployment {
        autoscaling: Some(Autoscaling {
            engine: Engine::Hpa,
            min_replicas: 1,
            max_replicas: 3,
            target_cpu_utilization: 70,
        }),
    };
    deployed
}

/// Returns a reference to a key of a Secret.
pub fn reference(secret: &str, key: &str) -> SecretRef {
    SecretRef {
        secret: secret.to_owned(),
        key: key.to_owned(),
    }
}

/// Returns a quantity.
pub fn quantity(text: &str) -> Quantity {
    Quantity::parse(text).unwrap()
}

fn resources() -> Resources {
    Resources {
        cpu: quantity("2"),
        memory: quantity("4Gi"),
        gpu_count: None,
        target: None,
        gpu_device_ids: None,
        gpu_capabilities: None,
        memory_swap: None,
        pids_limit: None,
    }
}

fn placement() -> Placement {
    Placement {
        gpu_resource_name: "nvidia.com/gpu".to_owned(),
        ..Placement::default()
    }
}
