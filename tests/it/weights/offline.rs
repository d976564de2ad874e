//! `platform weights compute` and its neighbours: no cluster, no chain, no challenge.

use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

const INPUTS: &str = r#"{
    "hotkeys": ["owner", "hk1", "hk2"],
    "challenges": [
        {"slug": "aa", "emission_percent": "40", "ok": true, "weights": {"hk1": 1, "missing": 3, "odd": NaN}},
        {"slug": "bb", "emission_percent": 60.0, "ok": true, "weights": {"hk2": 2}, "error": null},
        {"slug": "cc", "emission_percent": 10, "ok": false, "weights": {}, "error": "timeout"}
    ]
}"#;

/// Runs the program beside a file of inputs; returns its exit code and both outputs.
fn run(inputs: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let directory: TempDir = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("inputs.json"), inputs).unwrap();
    let ended = Command::new(env!("CARGO_BIN_EXE_platform"))
        .args(arguments)
        .env_clear()
        .env("HOME", directory.path())
        .current_dir(directory.path())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ended.status.code(), text(ended.stdout), text(ended.stderr))
}

const COMPUTE: [&str; 4] = ["weights", "compute", "--inputs", "inputs.json"];

#[test]
fn a_file_gives_its_vector_and_why() {
    let (code, out, _) = run(INPUTS, &[&COMPUTE[..], &["-o", "json"]].concat());
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, Some(0));
    assert_eq!(
        document,
        json!({
            "version": 1,
            "uids": [1, 2],
            "weights": [1.0 / 7.0, 6.0 / 7.0],
            "hotkey_weights": {"hk1": 0.1, "hk2": 0.6},
        })
    );
    let (_, out, _) = run(INPUTS, &[&COMPUTE[..], &["--explain"]].concat());
    for line in [
        "    1  0.14285714285714285     hk1",
        "  40.00 %   10.00 %  1 earning, 1 not registered, 1 no finite number",
        "takes no part: timeout",
        "    aa  dropped: not registered",
        "    bb  0.6",
    ] {
        assert!(out.contains(line), "{line}\n{out}");
    }
}

#[test]
fn inputs_that_are_none_are_refused_with_their_place() {
    let (code, out, error) = run(&INPUTS.replace("\"hk2\": 2", "\"hk2\": \"2\""), &COMPUTE);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(
        error.contains("a number is expected") && !error.contains("hk2"),
        "{error}"
    );
    let (code, _, error) = run(INPUTS, &["weights", "compute", "--inputs", "none.json"]);
    assert!(code == Some(2) && error.contains("no such file"), "{error}");
}

#[test]
fn without_a_database_there_is_nothing_to_show() {
    let (code, out, error) = run(INPUTS, &["weights", "show"]);
    assert_eq!((code, out.as_str()), (Some(0), ""));
    for told in [
        "no weights of subnet 100 yet",
        "`--netuid N`",
        "`platform serve weights`",
        "`kubectl get lease platform-weights`",
    ] {
        assert!(error.contains(told), "{error}");
    }
    let (code, out, _) = run(INPUTS, &["registry", "print"]);
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &document["challenges"]), (Some(0), &json!([])));
}
