//! The rules about content, each with the declaration that breaks it and one that does not. Bad inputs
//! with their whole texts are in `tests/cases/input`.

use std::fmt::Write as _;

use super::*;
use crate::spec::parse::{SourceFile, parse};
use crate::spec::platform::{Access, Database, Engine, Mode, Reach, Status, Updates};
use crate::spec::problem::Severity;

fn digest() -> String {
    format!("sha256:{}", "a".repeat(64))
}

/// A production declaration that keeps every rule.
fn production() -> String {
    format!(
        "api_version: platform.network/v1
environment: production
emissions: {{demo: 30}}
challenges:
  demo:
    image: ghcr.io/platformnetwork/demo:1.4.2@{0}
    status: active
    resources: {{cpu: 2, memory: 4Gi}}
targets:
  gpu: {{mode: agent, agent_url: \"https://gpu.example:8091\", token: {{secret: gpu, key: token}}, gpu_count: 2}}
defaults: {{postgres: {{image: \"postgres:16-alpine@{0}\"}}}}
broker: {{allowed_images: [ghcr.io/platformnetwork/]}}
",
        digest()
    )
}

fn development(challenge: &str) -> String {
    format!(
        "api_version: platform.network/v1\nenvironment: development\nchallenges:\n  demo:\n    \
         image: demo:1.0.0\n{challenge}"
    )
}

fn run(text: &str) -> Result<Checked, Problems> {
    check(&parse(&[SourceFile::new("platform.yaml", text)])?)
}

fn accepted(text: &str) -> Platform {
    run(text)
        .unwrap_or_else(|problems| panic!("{problems}\n{text}"))
        .platform
}

fn refused(text: &str) -> String {
    match run(text) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(problems) => problems.to_string(),
    }
}

fn demo(platform: &Platform) -> &crate::spec::platform::Challenge {
    &platform.challenges[&Slug::parse("demo").unwrap()]
}

/// Replaces one piece of the production declaration and returns what is said about it.
fn changed(from: &str, to: &str) -> String {
    let text = production();
    assert!(text.contains(from), "{from}");
    refused(&text.replace(from, to))
}

#[test]
fn production_declaration_that_keeps_the_policy_is_accepted() {
    assert_eq!(accepted(&production()).environment, Environment::Production);
}

#[test]
fn production_policy_is_on_in_production_and_staging_only() {
    for (word, environment) in [
        ("prod", Environment::Production),
        ("production", Environment::Production),
        ("\" Production \"", Environment::Production),
        ("STAGING", Environment::Staging),
    ] {
        let text = production().replace("environment: production", &format!("environment: {word}"));
        assert_eq!(accepted(&text).environment, environment);
        let text = text.replace(&format!("@{}", digest()), "");
        assert!(refused(&text).contains("must include a digest"), "{word}");
    }
    let text = production().replace("environment: production", "environment: Development");
    assert!(
        !accepted(&text.replace(&format!("@{}", digest()), ""))
            .environment
            .enforces_policy()
    );
}

#[test]
fn settings_can_turn_the_production_policy_on_and_never_off() {
    let under = |text: &str, policy| {
        let written = parse(&[SourceFile::new("platform.yaml", text.as_bytes().to_vec())]).unwrap();
        check_under(&written, policy)
    };
    let pinned = production();
    let tagged = pinned.replace(&format!("@{}", digest()), "");
    for word in ["development", "staging", "production"] {
        let declared = format!("environment: {word}");
        let tagged = tagged.replace("environment: production", &declared);
        let problems = under(&tagged, Policy::Production).unwrap_err();
        assert!(problems.to_string().contains("must include a digest"));
        assert_eq!(
            under(&tagged, Policy::AsDeclared).is_ok(),
            word == "development"
        );
        let pinned = pinned.replace("environment: production", &declared);
        let checked = under(&pinned, Policy::Production).unwrap();
        assert!(checked.platform.environment.enforces_policy());
    }
}

#[test]
fn production_refuses_broad_image_prefixes() {
    for broad in [
        "",
        "*",
        "ghcr.io/*",
        "docker.io/",
        "ghcr.io/",
        "gcr.io/",
        "quay.io/",
        "registry.k8s.io/",
        "platformnetwork/",
        "python",
        "python:",
        "localhost:5000/x/",
        "127.0.0.1/x/",
    ] {
        let text = changed("[ghcr.io/platformnetwork/]", &format!("[\"{broad}\"]"));
        assert!(text.contains("broker.allowed_images[0]"), "{broad}: {text}");
    }
    assert!(changed("[ghcr.io/platformnetwork/]", "[]").contains("admits nothing"));
}

#[test]
fn production_refuses_images_that_are_not_pinned_versions() {
    let demo = format!("ghcr.io/platformnetwork/demo:1.4.2@{}", digest());
    for (image, why) in [
        (
            format!("ghcr.io/platformnetwork/demo@{}", digest()),
            "must include a tag",
        ),
        (
            "ghcr.io/platformnetwork/demo:1.4.2".to_owned(),
            "must include a digest",
        ),
        (
            format!("ghcr.io/platformnetwork/demo:latest@{}", digest()),
            "must be semver",
        ),
        (
            format!("ghcr.io/platformnetwork/demo:1.4@{}", digest()),
            "must be semver",
        ),
        (
            "ghcr.io/platformnetwork/demo:1.4.2@sha512:aa".to_owned(),
            "image digest is `sha256:`",
        ),
        (
            format!("quay.io/platformnetwork/demo:1.4.2@{}", digest()),
            "come from `ghcr.io`",
        ),
        (
            format!("platformnetwork/demo:1.4.2@{}", digest()),
            "come from `ghcr.io`",
        ),
    ] {
        let text = changed(&demo, &image);
        assert!(
            text.contains("challenges.demo.image") && text.contains(why),
            "{image}: {text}"
        );
    }
}

#[test]
fn production_refuses_database_images_without_digest() {
    let pinned = format!("postgres:16-alpine@{}", digest());
    let text = changed(&pinned, "postgres:16-alpine");
    assert!(text.contains("defaults.postgres.image"), "{text}");
    let text = changed(&format!("{{image: \"{pinned}\"}}"), "{storage_size: 1Gi}");
    assert!(
        text.contains("defaults.postgres.image: is missing"),
        "{text}"
    );
}

#[test]
fn production_wants_a_postgres_for_each_challenge() {
    let line = "    status: active\n";
    let with = |more: &str| production().replace(line, &format!("{line}{more}"));
    assert!(refused(&with("    database: sqlite\n")).contains("challenges.demo.database"));
    let own = |url: &str| {
        with(&format!(
            "    database: sqlite\n    env: {{CHALLENGE_DATABASE_URL: \"{url}\"}}\n"
        ))
    };
    assert!(refused(&own("sqlite:////data/x")).contains("env.CHALLENGE_DATABASE_URL"));
    assert!(matches!(
        demo(&accepted(&own("postgresql://db/x"))).database,
        Database::Sqlite
    ));
    let text = with("    database: external\n    database_secret: {secret: db, key: url}\n");
    assert!(matches!(&demo(&accepted(&text)).database, Database::External(r) if r.secret == "db"));
    let text = production().replace(
        "defaults: {postgres: {",
        "defaults: {postgres: {enabled: false, ",
    );
    assert!(refused(&text).contains("challenges.demo.database"));
}

#[test]
fn production_wants_cpu_and_memory_declared() {
    let text = changed("{cpu: 2, memory: 4Gi}", "{memory: 4Gi}");
    assert!(text.contains("resources.cpu: is missing"), "{text}");
    let text = changed("{cpu: 2, memory: 4Gi}", "{cpus: 2}");
    assert!(
        text.contains("resources.memory: is missing") && !text.contains("cpu:"),
        "{text}"
    );
}

#[test]
fn production_wants_targets_that_can_be_trusted() {
    let url = "https://gpu.example:8091";
    for bad in [
        "http://gpu.example:8091",
        "https://",
        "gpu.example",
        "https://user@gpu.example",
    ] {
        assert!(changed(url, bad).contains("targets.gpu.agent_url"), "{bad}");
    }
    assert!(changed("gpu_count: 2", "verify_tls: false").contains("targets.gpu.verify_tls"));
    let text = production().replace("environment: production", "environment: development");
    accepted(
        &text
            .replace(url, "http://gpu.example")
            .replace("gpu_count: 2", "verify_tls: false"),
    );
}

#[test]
fn defaults_are_filled_in() {
    let platform = accepted(&development(""));
    let challenge = demo(&platform);
    assert_eq!(platform.namespace, "platform");
    assert_eq!(
        (platform.network.netuid, platform.network.burn_uid),
        (100, 0)
    );
    assert_eq!(platform.broker.allowed_images, ["ghcr.io/platformnetwork/"]);
    assert_eq!(platform.safety.max_deleted_percent, 20);
    assert_eq!(
        (challenge.name.as_str(), challenge.version.as_str()),
        ("demo", "1.0.0")
    );
    assert_eq!((challenge.status, challenge.port), (Status::Draft, 8000));
    assert_eq!(challenge.internal_base_url, "http://challenge-demo:8000");
    assert_eq!(
        challenge.required_capabilities,
        ["get_weights", "proxy_routes"]
    );
    assert_eq!(challenge.resources.cpu.as_str(), "2");
    assert_eq!(challenge.resources.memory.as_str(), "4Gi");
    assert_eq!(challenge.storage.size.as_str(), "10Gi");
    assert_eq!(challenge.volumes["sqlite"], "platform_demo_sqlite");
    assert_eq!(
        (&challenge.mode, &challenge.updates),
        (&Mode::StatefulSet, &Updates::Off)
    );
    let Database::Managed(postgres) = &challenge.database else {
        panic!("no managed database");
    };
    assert_eq!(postgres.image.to_string(), "postgres:16-alpine");
    assert_eq!(postgres.storage_size.as_str(), "10Gi");
}

#[test]
fn challenge_overrides_defaults() {
    let text = development(
        "    storage_size: 20Gi\n    storage_access: ReadWriteMany\n    postgres: {storage_size: 5Gi}\n    \
         challenge_mode: deployment\n    autoscaling: {max_replicas: 5}\n",
    ) + "defaults:\n  storage_class: slow\n  postgres: {image: \"postgres:17\", storage_class: fast}\n  \
         autoscaling: {keda_enabled: true, min_replicas: 2}\n";
    let platform = accepted(&text);
    let challenge = demo(&platform);
    assert_eq!(challenge.storage.size.as_str(), "20Gi");
    assert_eq!(challenge.storage.class.as_deref(), Some("slow"));
    assert_eq!(challenge.storage.access, Access::ReadWriteMany);
    let Database::Managed(postgres) = &challenge.database else {
        panic!("no managed database");
    };
    assert_eq!(postgres.image.to_string(), "postgres:17");
    assert_eq!(postgres.storage_size.as_str(), "5Gi");
    assert_eq!(postgres.storage_class.as_deref(), Some("fast"));
    let Mode::Deployment {
        autoscaling: Some(scaler),
    } = &challenge.mode
    else {
        panic!("no autoscaler");
    };
    assert_eq!(
        (scaler.engine, scaler.min_replicas, scaler.max_replicas),
        (Engine::Keda, 2, 5)
    );
}

#[test]
fn deployments_scale_only_on_shared_volumes() {
    let deployment = "    challenge_mode: deployment\n";
    assert!(refused(&development(deployment)).contains("ReadWriteMany"));
    let one = |more: &str| {
        demo(&accepted(&development(&format!("{deployment}{more}"))))
            .mode
            .clone()
    };
    let alone = Mode::Deployment { autoscaling: None };
    assert_eq!(one("    autoscaling: {enabled: false}\n"), alone);
    assert_eq!(one("    autoscaling: {max_replicas: 1}\n"), alone);
    assert_ne!(one("    storage_access: ReadWriteMany\n"), alone);
}

#[test]
fn targets_are_placed_by_global_then_target_defaults_then_their_own() {
    let text = development("") + "
defaults:
  node_selector: {a: global, b: global, c: global}
  tolerations: [{key: global, operator: Exists}]
  runtime_class_name: global
  image_pull_secrets: [global]
  storage_class: slow
  service_account: everywhere
  target_defaults:
    node_selector: {b: targets, c: targets}
    runtime_class_name: targets
    image_pull_secrets: [targets]
    gpu_resource_name: amd.com/gpu
targets:
  gpu:
    kubeconfig: {secret: gpu, key: kubeconfig}
    node_selector: {c: own}
    tolerations: [{key: own, operator: Exists}]
  plain: {kubeconfig: {secret: gpu, key: kubeconfig}, service_account: own, storage_class: fast, runtime_class_name: own}
";
    let platform = accepted(&text);
    let selector = |placement: &crate::spec::platform::Placement| {
        placement
            .node_selector
            .values()
            .cloned()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let challenge = demo(&platform);
    assert_eq!(selector(&challenge.placement), "global global global");
    assert_eq!(challenge.placement.gpu_resource_name, "nvidia.com/gpu");
    let gpu = &platform.targets[&TargetId::parse("gpu").unwrap()];
    assert_eq!(selector(&gpu.placement), "global targets own");
    assert_eq!(
        gpu.placement.tolerations,
        [serde_json::json!({"key": "own", "operator": "Exists"})]
    );
    assert_eq!(gpu.placement.runtime_class_name.as_deref(), Some("targets"));
    assert_eq!(gpu.placement.image_pull_secrets, ["targets"]);
    assert_eq!(gpu.placement.gpu_resource_name, "amd.com/gpu");
    assert_eq!(
        (gpu.service_account.as_str(), gpu.storage_class.as_deref()),
        ("everywhere", Some("slow"))
    );
    let plain = &platform.targets[&TargetId::parse("plain").unwrap()];
    assert_eq!(selector(&plain.placement), "global targets targets");
    assert_eq!(plain.placement.tolerations, challenge.placement.tolerations);
    assert_eq!(plain.placement.runtime_class_name.as_deref(), Some("own"));
    assert_eq!(
        (
            plain.service_account.as_str(),
            plain.storage_class.as_deref()
        ),
        ("own", Some("fast"))
    );
    assert!(matches!(&plain.reach, Reach::Direct { kubeconfig, .. } if kubeconfig.secret == "gpu"));
}

#[test]
fn older_names_of_resources_mean_the_same() {
    let platform = accepted(&development(
        "    resources: {cpus: 0.5, memory: 2g, memswap_limit: 2048Mi, pids: \"512\", gpus: \"2\", gpu_device_ids: 0}\n",
    ));
    let resources = &demo(&platform).resources;
    assert_eq!(
        (resources.cpu.as_str(), resources.memory.as_str()),
        ("0.5", "2Gi")
    );
    assert_eq!(
        (resources.pids_limit, resources.gpu_count),
        (Some(512), Some(2))
    );
    assert_eq!(resources.gpu_device_ids.as_deref(), Some("0"));
    assert_eq!(resources.memory_swap.as_deref(), Some("2048Mi"));
    accepted(&development(
        "    resources: {memory: 1Gi, memory_swap: 4g}\n",
    ));
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let warnings = |text: &str| {
        let found = run(text)
            .unwrap_or_else(|problems| panic!("{problems}"))
            .warnings;
        assert!(found.iter().all(|w| w.severity == Severity::Warning));
        found.iter().map(|w| w.path.clone()).collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    assert_eq!(warnings(&development("")), none);
    assert_eq!(
        warnings(&development("    status: active\n")),
        ["challenges.demo"]
    );
    let text = development("    status: active\n") + "emissions: {demo: 0}\n";
    assert_eq!(warnings(&text), none);
    let owned = "    env: {PLATFORM_CHALLENGE_SLUG: x, OPENAI_FILE: x, MINE_FILE: x}\n    \
                 secrets: {openai: {secret: a, key: b}}\n";
    assert_eq!(
        warnings(&development(owned)),
        [
            "challenges.demo.env.PLATFORM_CHALLENGE_SLUG",
            "challenges.demo.env.OPENAI_FILE"
        ]
    );
    assert_eq!(
        warnings(&development(
            "    autoscaling: {max_replicas: 2}\n    database: sqlite\n    postgres: {}\n"
        )),
        ["challenges.demo.autoscaling", "challenges.demo.postgres"]
    );
    let text = development("    resources: {target: gpu}\n")
        + "targets: {gpu: {kubeconfig: {secret: a, key: b}, draining: true}}\nbroker: {privileged_slugs: [demo]}\n";
    assert_eq!(
        warnings(&text),
        [
            "challenges.demo.resources.target",
            "broker.privileged_slugs"
        ]
    );
}

#[test]
fn secrets_are_told_by_name_or_by_password_and_never_shown() {
    for (name, is_secret) in [
        ("API_TOKEN", true),
        ("tokenizer", true),
        ("CLIENT_SECRET", true),
        ("db_password", true),
        ("SSH_PRIVATE_KEY", true),
        ("OPENAI_API_KEY", true),
        ("GCP_CREDENTIALS", true),
        ("API_TOKEN_FILE", false),
        ("api_token_file", false),
        ("API_URL", false),
        ("KEY", false),
    ] {
        let text = development(&format!("    env: {{{name}: canary}}\n"));
        match run(&text) {
            Ok(_) => assert!(!is_secret, "{name}"),
            Err(problems) => {
                assert!(is_secret, "{name}");
                let text = format!("{problems}{problems:?}");
                assert!(
                    text.contains("secrets: {") && !text.contains("canary"),
                    "{text}"
                );
            }
        }
    }
    let text = refused(&development(
        "    \"https://u:canary@h\": x\n    env: {\"https://u:canary@h\": x}\n",
    ));
    assert!(!text.contains("canary"), "{text}");
}

#[test]
fn nothing_declared_is_accepted_when_it_is_written() {
    let text = "api_version: platform.network/v1\nenvironment: development\nchallenges: {}\n";
    assert!(accepted(text).challenges.is_empty());
}

#[test]
fn counts_and_sizes_are_bounded() {
    let head = "api_version: platform.network/v1\nenvironment: development\n";
    let mut many = format!("{head}challenges:\n");
    for number in 0..=MAX_CHALLENGES {
        writeln!(many, "  c{number}: {{image: \"a:1\"}}").unwrap();
    }
    assert!(refused(&many).contains("more than 2000 challenges"));
    let mut many = format!("{head}challenges: {{}}\ntargets:\n");
    for number in 0..=MAX_TARGETS {
        writeln!(many, "  t{number}: {{kubeconfig: {{secret: a, key: b}}}}").unwrap();
    }
    assert!(refused(&many).contains("more than 200 targets"));
    let mut many = "    env:\n".to_owned();
    for number in 0..300 {
        writeln!(many, "      V{number}: x").unwrap();
    }
    assert!(refused(&development(&many)).contains("challenges.demo.env: has more than"));
    let long = "x".repeat(70_000);
    for (part, place) in [
        (format!("    env: {{A: {long}}}\n"), "env.A"),
        (format!("    metadata: {{a: {long}}}\n"), "metadata"),
        (format!("    description: {long}\n"), "description"),
        (
            format!("    worker: {{command: [{long}]}}\n"),
            "worker.command[0]",
        ),
    ] {
        assert!(
            refused(&development(&part)).contains(&format!("challenges.demo.{place}")),
            "{place}"
        );
    }
}

#[test]
fn slug_that_spells_out_a_cut_name_is_refused_beside_its_owner() {
    let long = Slug::parse(&"a".repeat(40)).unwrap();
    let cut = crate::model::names::postgres(&long);
    let cut = cut
        .strip_prefix("challenge-")
        .unwrap()
        .strip_suffix("-postgres")
        .unwrap();
    let text = format!(
        "api_version: platform.network/v1\nenvironment: development\nchallenges:\n  {long}: {{image: \
         \"a:1\"}}\n  {cut}: {{image: \"a:1\"}}\n"
    );
    assert!(refused(&text).contains("derives the same object name"));
}

#[test]
fn routes_of_two_known_challenges_are_filled_in_unless_declared() {
    let text = development("").replace("demo:\n", "prism:\n");
    let platform = accepted(&text);
    let prism = &platform.challenges[&Slug::parse("prism").unwrap()];
    assert_eq!(
        prism.proxy.rewrite["/submissions/{id}"],
        "/v1/submissions/{id}"
    );
    let platform = accepted(&text.replace("1.0.0\n", "1.0.0\n    proxy: {rewrite: {}}\n"));
    let prism = &platform.challenges[&Slug::parse("prism").unwrap()];
    assert!(prism.proxy.rewrite.is_empty());
}
