//! `examples/platform.yaml`: it passes the check without a warning, names every field, and no copy of it
//! that was cut short is taken for a whole one.

use platform::spec::platform::{Environment, Status};
use platform::spec::{Checked, Problems, SourceFile, check, parse};

fn example() -> Vec<u8> {
    std::fs::read(super::package("examples/platform.yaml")).expect("the example is there")
}

fn read(bytes: &[u8]) -> Result<Checked, Problems> {
    check(&parse(&[SourceFile::new("platform.yaml", bytes)])?)
}

#[test]
fn example_passes_without_a_warning() {
    let checked = read(&example()).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(checked.warnings, []);
    let platform = checked.platform;
    assert_eq!(platform.environment, Environment::Development);
    assert_eq!(platform.challenges.len(), 3);
    let shown: Vec<_> = platform
        .challenges
        .iter()
        .map(|(slug, c)| (slug.as_str(), c.status, platform.share(slug).to_string()))
        .collect();
    assert_eq!(
        shown,
        [
            ("agent-challenge", Status::Active, "33.33 %".to_owned()),
            ("next-challenge", Status::Draft, "0.00 %".to_owned()),
            ("prism", Status::Active, "66.67 %".to_owned()),
        ]
    );
    assert!(platform.targets.values().all(|target| !target.enabled));
    assert!(
        platform
            .challenges
            .values()
            .all(|c| c.resources.target.is_none())
    );
}

#[test]
fn example_names_every_field_of_the_schema() {
    let text = String::from_utf8(example()).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&platform::spec::schema()).unwrap();
    let mut kinds: Vec<&serde_json::Value> =
        schema["$defs"].as_object().unwrap().values().collect();
    kinds.push(&schema);
    for kind in kinds {
        for field in kind["properties"].as_object().into_iter().flatten() {
            // Older names of a field, and what a toleration may hold besides, need no example.
            let skipped = [
                "cpus",
                "memswap_limit",
                "pids",
                "gpus",
                "value",
                "tolerationSeconds",
            ];
            let name = format!("{}:", field.0);
            assert!(
                skipped.contains(&field.0.as_str()) || text.contains(&name),
                "{name} is missing"
            );
        }
    }
}

#[test]
fn example_cut_off_anywhere_is_refused() {
    let whole = example();
    let platform = read(&whole).unwrap().platform;
    let mut accepted = Vec::new();
    for end in 0..whole.len() {
        if let Ok(checked) = read(&whole[..end]) {
            assert_eq!(checked.platform, platform, "cut at byte {end}");
            accepted.push(end);
        }
    }
    assert_eq!(accepted, Vec::<usize>::new());
}
