//! Precedence, provenance, forms of names, masking, and the policy on the database.

use std::fs;

use super::*;

fn environment(pairs: &[(&str, &str)]) -> Environment {
    pairs
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)))
        .collect()
}

/// Gathers with a settings file of this text; the directory lives until the settings are made.
fn gather(file: &str, pairs: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let scratch = tempfile::tempdir().unwrap();
    let config = scratch.path().join("settings.yaml");
    fs::write(&config, file).unwrap();
    let flags = Flags {
        config: Some(config),
        ..Flags::default()
    };
    Settings::gather(&flags, &environment(pairs))
}

fn entry<'a>(settings: &'a Settings, path: &str) -> &'a Entry {
    settings.entries.iter().find(|e| e.path == path).unwrap()
}

const URL: &str = "database: {url: 'postgres://a:canary@file/p'}\n";

#[test]
fn defaults_hold_where_nobody_says_anything() {
    let settings = Settings::gather(&Flags::default(), &Environment::default()).unwrap();
    assert_eq!(settings.environment, "development");
    assert_eq!(settings.source, "./platform.yaml");
    assert_eq!(settings.kubeconfig, None);
    assert!(
        settings.in_cluster && settings.observability.log_json && !settings.enforces_production()
    );
    assert_eq!(settings.database_shown(), "sqlite:platform.db");
    assert_eq!(settings.call_limit, Duration::from_secs(20));
    assert!(settings.entries.iter().all(|e| e.origin == Origin::Default));
    assert!(KNOWN.is_sorted_by_key(|known| known.path));
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file() {
    let from_file = gather(URL, &[]).unwrap();
    let Origin::File { line: 1, .. } = entry(&from_file, "database.url").origin else {
        panic!("from the file")
    };
    assert_eq!(from_file.database_shown(), "postgres://a:***@file/p");
    let single = [("PLATFORM_DATABASE_URL", "postgres://single/p")];
    assert_eq!(
        gather(URL, &single).unwrap().database_shown(),
        "postgres://single/p"
    );
    let both = [
        ("PLATFORM_DATABASE_URL", "postgres://single/p"),
        ("PLATFORM_DATABASE__URL", "postgres://double/p"),
    ];
    let double = gather(URL, &both).unwrap();
    assert_eq!(double.database_shown(), "postgres://double/p");
    assert_eq!(
        entry(&double, "database.url").origin,
        Origin::Environment("PLATFORM_DATABASE__URL".to_owned())
    );
    let flags = Flags {
        database_url: Some(Secret::new("postgres://flag/p".to_owned())),
        source: Some("here".to_owned()),
        config: None,
        allow_rewind: false,
    };
    let flagged = Settings::gather(&flags, &environment(&both)).unwrap();
    assert_eq!(flagged.database_shown(), "postgres://flag/p");
    assert_eq!(
        entry(&flagged, "database.url").origin,
        Origin::Flag("--database-url")
    );
    assert_eq!(flagged.source, "here");
}

#[test]
fn names_that_kubernetes_injects_are_ignored_and_near_misses_are_named() {
    let settings = gather(
        "source: a\n",
        &[
            ("PLATFORM_PROXY_PORT", "tcp://10.0.0.1:80"),
            ("PLATFORM_KUBERNETES_KUBECONFIG", "/no"),
            ("PLATFORM_DATABSE__URL", "postgres://canary"),
            ("platform_source", "no"),
        ],
    )
    .unwrap();
    assert_eq!(settings.source, "a");
    assert_eq!(settings.kubeconfig, None);
    let near = (
        "PLATFORM_DATABSE__URL".to_owned(),
        "PLATFORM_DATABASE__URL".to_owned(),
    );
    assert_eq!(settings.ignored, [near]);
}

#[test]
fn a_variable_in_braces_sets_a_section() {
    let section = "{in_cluster: false, kubeconfig: /k}";
    let settings = gather("source: a\n", &[("PLATFORM_KUBERNETES", section)]).unwrap();
    assert!(!settings.in_cluster);
    assert_eq!(settings.kubeconfig.as_deref(), Some("/k"));
    let list = gather("source: a\n", &[("PLATFORM_SOURCE", "[a, b]")]);
    assert!(matches!(list, Err(SettingsError::Value { .. })));
    let broken = gather("source: a\n", &[("PLATFORM_SOURCE", "{a: canary")]).unwrap_err();
    assert!(!format!("{broken:?}").contains("canary"), "{broken:?}");
}

#[test]
fn the_kubeconfig_of_all_tools_is_the_weakest() {
    let pairs = [("KUBECONFIG", "/all")];
    let settings = gather("source: a\n", &pairs).unwrap();
    assert_eq!(settings.kubeconfig.as_deref(), Some("/all"));
    let settings = gather("kubernetes: {kubeconfig: /mine}\n", &pairs).unwrap();
    assert_eq!(settings.kubeconfig.as_deref(), Some("/mine"));
}

#[test]
fn a_file_with_mistakes_is_refused_with_place_and_remedy() {
    for (file, message) in [
        (
            "databse:\n  url: x\n",
            "settings.yaml:2: unknown setting `databse.url`; did you mean `database.url`?",
        ),
        (
            "database: canary\n",
            "settings.yaml:1: unknown setting `database`; did you mean `database.url`?",
        ),
        (
            "source: a\nsource: b\n",
            "settings.yaml:2: `source` is set twice",
        ),
        (
            "- a\n",
            "settings.yaml:1: settings are keys and values, such as `database: {url: …}`",
        ),
        (
            "",
            "settings.yaml:1: settings are keys and values, such as `database: {url: …}`",
        ),
        (
            "policy: {enforce_production: maybe}\n",
            "settings.yaml:1: true or false is expected",
        ),
        ("source: *nowhere\n", "settings.yaml"),
    ] {
        let refused = gather(file, &[]).unwrap_err().to_string();
        assert!(refused.ends_with(message), "{refused}");
        assert!(!refused.contains("canary"), "{refused}");
    }
    let nothing = gather("kubernetes:\nsource: ~\n", &[]).unwrap();
    assert_eq!(nothing.source, "./platform.yaml");
    let flags = Flags {
        config: Some("/nowhere/settings.yaml".into()),
        ..Flags::default()
    };
    let missing = Settings::gather(&flags, &Environment::default());
    assert!(matches!(missing, Err(SettingsError::File { .. })));
}

#[test]
fn variables_in_the_file_are_put_in_and_must_be_set_in_production() {
    let file = "database: {url: 'postgres://${USER}:${PASS}@db/p'}\nsource: ${no-name}\n";
    let pairs = [("USER", "app"), ("PASS", "canary")];
    let settings = gather(file, &pairs).unwrap();
    assert_eq!(
        settings.database_url(true).unwrap().expose(),
        "postgres://app:canary@db/p"
    );
    assert_eq!(settings.source, "${no-name}");
    assert!(!format!("{settings:?}").contains("canary"));
    assert!(gather(file, &pairs[..1]).is_ok());
    let production = [("USER", "app"), ("PLATFORM_ENVIRONMENT", "production")];
    let refused = gather(file, &production).unwrap_err().to_string();
    assert!(
        refused.ends_with("settings.yaml:1: `${PASS}` names a variable that is not set"),
        "{refused}"
    );
}

#[test]
fn production_takes_postgres_only() {
    for (pairs, declared, is_fine) in [
        (vec![], false, true),
        (vec![], true, false),
        (vec![("PLATFORM_ENVIRONMENT", "prod")], false, false),
        (vec![("PLATFORM_ENVIRONMENT", "Production")], false, false),
        (vec![("PLATFORM_ENVIRONMENT", "staging")], false, false),
        (
            vec![("PLATFORM_POLICY__ENFORCE_PRODUCTION", "true")],
            false,
            false,
        ),
        (vec![("PLATFORM_DATABASE_URL", "")], false, false),
        (vec![("PLATFORM_DATABASE_URL", "mysql://h/d")], true, false),
        (
            vec![("PLATFORM_DATABASE_URL", "postgresql+asyncpg://h/d")],
            true,
            true,
        ),
        (
            vec![("PLATFORM_DATABASE_URL", "postgres://h/d")],
            true,
            true,
        ),
    ] {
        let settings = Settings::gather(&Flags::default(), &environment(&pairs)).unwrap();
        assert_eq!(
            settings.database_url(declared).is_ok(),
            is_fine,
            "{pairs:?}"
        );
    }
}

#[test]
fn a_time_limit_is_a_number_of_seconds_within_bounds() {
    let limit = |text| {
        let pairs = [("PLATFORM_KUBERNETES__TIMEOUT_SECONDS", text)];
        Settings::gather(&Flags::default(), &environment(&pairs))
    };
    assert_eq!(limit("1").unwrap().call_limit, Duration::from_secs(1));
    for text in ["0", "301", "-1", "1.5", "2s"] {
        let error = limit(text).unwrap_err().to_string();
        assert!(error.contains("kubernetes.timeout_seconds"), "{error}");
        assert!(error.contains("from 1 to 300"), "{error}");
    }
}

#[test]
fn weights_must_not_run_out_before_the_next_ones_are_there() {
    let with = |epoch: &str, timeout: &str, retries: &str| {
        let pairs = [
            ("PLATFORM_MASTER__EPOCH_INTERVAL_SECONDS", epoch),
            ("PLATFORM_MASTER__CHALLENGE_TIMEOUT_SECONDS", timeout),
            ("PLATFORM_MASTER__CHALLENGE_RETRIES", retries),
        ];
        Settings::gather(&Flags::default(), &environment(&pairs)).map(drop)
    };
    for (epoch, timeout, retries) in [
        ("360", "10", "3"),
        ("688", "10", "3"),
        ("719", "1", "0"),
        ("97", "60", "10"),
    ] {
        with(epoch, timeout, retries).unwrap();
    }
    for (epoch, timeout, retries, why) in [
        (
            "689",
            "10",
            "3",
            "an epoch of 689 s and up to 31.5 s for asking the challenges are longer than the 720 s that weights are \
             good for; make it 688 or less, or master.challenge_timeout_seconds or master.challenge_retries smaller",
        ),
        ("720", "1", "1", "make it 719 or less, or"),
        ("98", "60", "10", "make it 97 or less, or"),
    ] {
        let refused = with(epoch, timeout, retries).unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
        let from = "master.epoch_interval_seconds from environment PLATFORM_MASTER__EPOCH";
        assert!(refused.contains(from), "{refused}");
    }
    let slow = [
        ("PLATFORM_MASTER__CHALLENGE_RETRIES", "10"),
        ("PLATFORM_MASTER__CHALLENGE_TIMEOUT_SECONDS", "60"),
    ];
    let refused = Settings::gather(&Flags::default(), &environment(&slow)).unwrap_err();
    assert!(
        refused.to_string().contains("an epoch of 360 s"),
        "{refused}"
    );
}
