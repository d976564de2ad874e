//! Where a value stands inside the declaration: `challenges.prism.image`, `safety.freeze[0].from`.

use std::fmt;

/// A path from the root, made on the stack step by step; nothing is allocated until one is shown.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    parent: Option<&'a Self>,
    step: Step<'a>,
}

/// One step of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// The whole declaration.
    Root,
    /// The value of a key.
    Key(&'a str),
    /// An item of a list, counted from zero.
    Index(usize),
}

impl<'a> Path<'a> {
    /// The whole declaration.
    pub const ROOT: Path<'static> = Path {
        parent: None,
        step: Step::Root,
    };

    /// Returns the path of a key's value below this one.
    #[must_use]
    pub fn key<'b>(&'b self, key: &'b str) -> Path<'b> {
        Path {
            parent: Some(self),
            step: Step::Key(key),
        }
    }

    /// Returns the path of a list's item below this one.
    #[must_use]
    pub fn index(&self, index: usize) -> Path<'_> {
        Path {
            parent: Some(self),
            step: Step::Index(index),
        }
    }

    /// Returns the steps from the root, without the root itself.
    #[must_use]
    pub fn steps(&self) -> Vec<Step<'a>> {
        let mut steps = Vec::new();
        let mut here = self;
        while let Some(parent) = here.parent {
            steps.push(here.step);
            here = parent;
        }
        steps.reverse();
        steps
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.steps().into_iter().enumerate() {
            match step {
                Step::Root => {}
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if is_plain(key) => {
                    let dot = if position == 0 { "" } else { "." };
                    write!(f, "{dot}{key}")?;
                }
                Step::Key(key) => write!(f, "[\"{}\"]", shown(key))?,
            }
        }
        Ok(())
    }
}

/// Returns a key as it may be shown: at most 64 characters, control characters escaped, and not one that
/// could be a URL with a password.
#[must_use]
pub fn shown(key: &str) -> String {
    if key.contains("://") {
        return "…".to_owned();
    }
    let head: String = key.chars().take(64).collect();
    let dots = if head.len() < key.len() { "…" } else { "" };
    format!("{}{dots}", head.escape_debug())
}

fn is_plain(key: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (1..=64).contains(&key.len()) && key.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_as_people_write_them() {
        let root = Path::ROOT;
        let (challenges, safety) = (root.key("challenges"), root.key("safety"));
        let prism = challenges.key("prism");
        assert_eq!(prism.key("image").to_string(), "challenges.prism.image");
        let freeze = safety.key("freeze");
        assert_eq!(freeze.index(0).key("to").to_string(), "safety.freeze[0].to");
        assert_eq!(root.key("a.b\n").to_string(), "[\"a.b\\n\"]");
        assert_eq!(root.to_string(), "");
    }
}
