//! Any bytes as `platform.yaml`: read and checked, or refused with a place and a remedy. A line that holds
//! only `#file` parts them into several files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use platform::spec::{Problems, SourceFile, check, parse};

fuzz_target!(|bytes: &[u8]| {
    let files: Vec<SourceFile> = split(bytes)
        .into_iter()
        .enumerate()
        .map(|(number, part)| SourceFile::new(format!("{number}.yaml"), part))
        .collect();
    match parse(&files) {
        Err(problems) => check_problems(&problems),
        Ok(written) => match check(&written) {
            Err(problems) => check_problems(&problems),
            Ok(checked) => {
                let again = check(&written).expect("the same declaration is accepted again");
                assert!(checked.platform == again.platform, "the same input, another result");
            }
        },
    }
});

fn split(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut files = vec![Vec::new()];
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if line == b"#file\n" {
            files.push(Vec::new());
        } else if let Some(last) = files.last_mut() {
            last.extend_from_slice(line);
        }
    }
    files
}

fn check_problems(problems: &Problems) {
    assert!(!problems.shown.is_empty(), "refused without a reason");
    for problem in &problems.shown {
        assert!(problem.place.line > 0 && problem.place.column > 0, "{problem}");
        assert!(!problem.message.is_empty() && !problem.remedy.is_empty(), "{problem}");
    }
}
