//! Rust sources to the paths they name. Knows as much of the language as paths need: comments, texts, `use`
//! trees, and what is compiled for tests only, which is left out.

use std::collections::BTreeSet;
use std::path::Path;

/// A source file with its module path, and every path it names: `["crate", "model", "Slug"]`.
pub struct Source {
    pub module: Vec<String>,
    pub paths: BTreeSet<Vec<String>>,
}

/// Reads every source below a folder that is compiled into the program.
pub fn scan(folder: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut texts = Vec::new();
    collect(folder, &mut Vec::new(), &mut texts);
    let mut only_for_tests: BTreeSet<Vec<String>> = BTreeSet::new();
    for (module, text) in texts {
        let mut tokens = tokens(&text);
        for name in cut_tests(&mut tokens) {
            only_for_tests.insert([module.clone(), vec![name]].concat());
        }
        let paths = paths(&tokens);
        sources.push(Source { module, paths });
    }
    let is_for_tests =
        |module: &[String]| (1..=module.len()).any(|end| only_for_tests.contains(&module[..end]));
    sources.retain(|source| !is_for_tests(&source.module));
    sources
}

fn collect(folder: &Path, module: &mut Vec<String>, texts: &mut Vec<(Vec<String>, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        module.push(name.clone());
        if path.is_dir() {
            collect(&path, module, texts);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let is_root = name == "lib";
            texts.push((if is_root { vec![] } else { module.clone() }, text));
        }
        module.pop();
    }
}

/// Names, `::`, and single other characters; without comments, texts and lifetimes.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let is_name = |c: &char| c.is_alphanumeric() || *c == '_';
        at += match rest {
            ['/', '/', ..] => length(rest, |c| *c != '\n'),
            ['/', '*', ..] => 2 + find(&rest[2..], &['*', '/']) + 2,
            ['r', '"' | '#', ..] if raw_text(rest).is_some() => raw_text(rest).unwrap(),
            ['"', ..] => quoted(rest, '"'),
            ['\'', '\\', ..] | ['\'', _, '\'', ..] => quoted(rest, '\''),
            ['\'', ..] => 1 + length(&rest[1..], is_name),
            [':', ':', ..] => {
                tokens.push("::".to_owned());
                2
            }
            [c, ..] if is_name(c) => {
                let end = length(rest, is_name);
                tokens.push(rest[..end].iter().collect());
                end
            }
            [c, ..] => {
                if !c.is_whitespace() {
                    tokens.push(c.to_string());
                }
                1
            }
            [] => 1,
        };
    }
    tokens
}

fn length(chars: &[char], goes_on: impl Fn(&char) -> bool) -> usize {
    chars.iter().take_while(|c| goes_on(c)).count()
}

fn find(chars: &[char], what: &[char]) -> usize {
    let found = chars.windows(what.len()).position(|window| window == what);
    found.unwrap_or(chars.len())
}

fn quoted(chars: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// Returns the length of `r"…"` or `r#"…"#`; `None` for a name such as `r#type`.
fn raw_text(chars: &[char]) -> Option<usize> {
    let marks = length(&chars[1..], |c| *c == '#');
    (chars.get(1 + marks) == Some(&'"')).then(|| {
        let mut end = vec!['"'];
        end.extend(std::iter::repeat_n('#', marks));
        let open = 2 + marks;
        open + find(&chars[open..], &end) + end.len()
    })
}

/// Cuts what stands behind `#[cfg(test)]` and returns the names of modules that stood there.
fn cut_tests(tokens: &mut Vec<String>) -> Vec<String> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut names = Vec::new();
    while let Some(from) = tokens.windows(MARK.len()).position(|window| window == MARK) {
        let mut at = from + MARK.len();
        let mut depth = 0;
        while at < tokens.len() {
            match tokens[at].as_str() {
                "mod" if depth == 0 => names.push(tokens[at + 1].clone()),
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            at += 1;
            if depth == 0 && matches!(tokens[at - 1].as_str(), ";" | "}") {
                break;
            }
        }
        tokens.drain(from..at);
    }
    names
}

/// Returns every path, `use` trees taken apart.
fn paths(tokens: &[String]) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_root = at == 0 || !matches!(tokens[at - 1].as_str(), "::" | ".");
        if is_root && is_name(&tokens[at]) && tokens.get(at + 1).is_some_and(|next| next == "::") {
            at = tree(tokens, at, &mut Vec::new(), &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Follows one path, into braces too, and returns where it ends.
fn tree(
    tokens: &[String],
    mut at: usize,
    prefix: &mut Vec<String>,
    found: &mut BTreeSet<Vec<String>>,
) -> usize {
    let before = prefix.len();
    while at < tokens.len() && is_name(&tokens[at]) {
        prefix.push(tokens[at].clone());
        at += 1;
        if tokens.get(at).is_none_or(|next| next != "::") {
            break;
        }
        at += 1;
        if tokens.get(at).is_some_and(|next| next == "{") {
            at += 1;
            while tokens[at] != "}" {
                at = match is_name(&tokens[at]) {
                    true => tree(tokens, at, prefix, found),
                    false => at + 1,
                };
            }
            prefix.truncate(before);
            return at + 1;
        }
    }
    if prefix.len() > 1 {
        found.insert(prefix.clone());
    }
    prefix.truncate(before);
    at
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

#[test]
fn paths_are_found_and_tests_are_left_out() {
    let text = r##"
        //! crate::not_this
        use crate::{a::{B, self}, c::*};
        fn f<'a>(x: &'a str) -> super::D { "crate::nor_this"; 'x'; r#"crate::"nor" this"#; tokio::spawn(g::<crate::e::F>()) }
        #[cfg(test)]
        mod tests { use crate::in_tests::G; }
        #[cfg(test)]
        pub mod fixture;
    "##;
    let mut tokens = tokens(text);
    assert_eq!(cut_tests(&mut tokens), ["tests", "fixture"]);
    let found: Vec<String> = paths(&tokens).iter().map(|path| path.join("::")).collect();
    let expected = [
        "crate::a::B",
        "crate::a::self",
        "crate::c",
        "crate::e::F",
        "super::D",
        "tokio::spawn",
    ];
    assert_eq!(found, expected);
}
