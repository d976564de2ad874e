//! One folder per rule in `tests/cases/plan`: `spec.yaml` is declared, `before.yaml` was applied (nothing
//! when it is missing, the same as declared when it is empty), `live.yaml` tells what is different since,
//! and `plan.txt` is what people are shown. `BLESS=1` accepts what has changed.

use std::fs;
use std::path::Path;

use super::world::{Differences, agreeing};
use super::{plan, properties};
use crate::reconcile::desired::{Desired, build_desired};
use crate::reconcile::render::{Header, Options, render_text, samples};
use crate::reconcile::resolve::Facts;
use crate::spec::{self, SourceFile};

const FOLDER: &str = "tests/cases/plan";

fn read(folder: &Path, name: &str) -> Option<String> {
    fs::read_to_string(folder.join(name)).ok()
}

fn desired(text: &str, told: &str) -> Desired {
    let written = spec::parse(&[SourceFile::new("spec.yaml", text)]);
    let written = written.unwrap_or_else(|problems| panic!("{told}: {problems}"));
    let checked = spec::check(&written).unwrap_or_else(|problems| panic!("{told}: {problems}"));
    build_desired(&checked.platform, &Facts::default())
}

#[test]
fn plans_are_as_reviewed() {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER);
    let mut count = 0;
    for entry in fs::read_dir(folders).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let spec = read(&folder, "spec.yaml").unwrap();
        let wanted = desired(&spec, &name);
        let applied = match read(&folder, "before.yaml") {
            Some(text) if text.trim().is_empty() => wanted.clone(),
            Some(text) => desired(&text, &name),
            None => Desired::default(),
        };
        let mut live = agreeing(&applied, &wanted);
        let differences = read(&folder, "live.yaml").unwrap_or_default();
        let differences: Option<Differences> = serde_yaml::from_str(&differences).unwrap();
        differences.unwrap_or_default().apply(&mut live);
        let made = plan(&wanted, &live, &[]);
        properties::check(&wanted, &live, &made);
        let header = Header {
            source: "platform.yaml".to_owned(),
            cluster: "test/platform".to_owned(),
            database: "sqlite:platform.db".to_owned(),
            ..Header::default()
        };
        let text = render_text(&made, &header, &Options::default());
        samples::assert_blessed(&format!("{FOLDER}/{name}/plan.txt"), &text);
        count += 1;
    }
    assert!(count >= 12, "{count} cases");
}
