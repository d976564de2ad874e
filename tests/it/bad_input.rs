//! Bad declarations: each file (or folder, for several files) of `tests/cases/input` has beside it the
//! whole text that its author is shown. The same folder is run through the program elsewhere.

use std::path::{Path, PathBuf};

use platform::spec::{Problems, SourceFile, check, parse};

/// Secrets in the cases all hold this word.
const CANARY: &str = "canary";

fn cases() -> Vec<PathBuf> {
    let folder = super::package("tests/cases/input");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder of cases is there")
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter(|path| path.extension().is_none_or(|end| end != "expect"))
        .collect();
    cases.sort();
    cases
}

/// Reads a file, or a folder with `platform.yaml` first.
fn read(case: &Path) -> Vec<SourceFile> {
    let bytes = |path: &Path| std::fs::read(path).expect("a case can be read");
    if case.is_file() {
        return vec![SourceFile::new("platform.yaml", bytes(case))];
    }
    let mut files = vec![SourceFile::new(
        "platform.yaml",
        bytes(&case.join("platform.yaml")),
    )];
    for name in ["challenges/demo.yaml", "more.yaml"] {
        if case.join(name).exists() {
            files.push(SourceFile::new(name, bytes(&case.join(name))));
        }
    }
    files
}

fn problems(case: &Path) -> Option<Problems> {
    match parse(&read(case)) {
        Err(problems) => Some(problems),
        Ok(written) => check(&written).err(),
    }
}

#[test]
fn each_bad_input_is_refused_with_place_and_remedy() {
    let cases = cases();
    assert!(cases.len() >= 65, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let name = case.file_name().unwrap().to_str().unwrap();
        let expect = case.with_extension("expect");
        let got = problems(case).map_or_else(|| "accepted".to_owned(), |p| p.to_string());
        // Whoever sets this reads the difference before keeping it.
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&expect, format!("{got}\n")).unwrap();
        }
        let wanted = std::fs::read_to_string(&expect).unwrap_or_default();
        if got != wanted.trim_end() || got == "accepted" {
            wrong.push(format!("== {name}\n{got}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "not as expected (BLESS=1 accepts it):\n{}",
        wrong.join("\n")
    );
}

#[test]
fn each_problem_has_a_remedy_and_shows_no_secret() {
    for case in cases() {
        let problems = problems(&case).unwrap();
        for problem in &problems.shown {
            assert!(!problem.remedy.is_empty(), "{problem}");
            assert!(
                problem.place.line > 0 && problem.place.column > 0,
                "{problem}"
            );
        }
        let debug = format!("{problems:?}{problems}");
        assert!(!debug.contains(CANARY), "{}", case.display());
    }
}

#[test]
fn the_program_refuses_each_with_exit_2_place_and_remedy() {
    for case in cases() {
        let folder = tempfile::tempdir().unwrap();
        for file in read(&case) {
            let path = folder.path().join(&file.name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &file.bytes).unwrap();
        }
        let source = if case.is_file() { "platform.yaml" } else { "." };
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_platform"))
            .args(["check", source])
            .current_dir(folder.path())
            .env_clear()
            .output()
            .unwrap();
        let name = case.display();
        let shown =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{name}: {shown}");
        assert!(shown.contains(".yaml"), "{name} names its file: {shown}");
        assert!(
            shown.contains("error: ") && shown.contains("hint: "),
            "{name}: {shown}"
        );
        assert!(!shown.contains(CANARY), "{name}");
    }
}
