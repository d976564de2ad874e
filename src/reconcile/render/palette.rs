//! Labels for parts of a text, and how they are marked: not at all, or with colours of a terminal.

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// Something that is made, or a new value.
    Create,
    /// Something that changes.
    Change,
    /// Something that is deleted, or an old value.
    Delete,
    /// Something that waits, was refused, or needs attention.
    Held,
    /// What stands beside the matter.
    Faint,
    /// A name to find the place by.
    Strong,
}

/// How labels are marked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Palette {
    /// Not at all.
    #[default]
    Plain,
    /// With ANSI escapes: the sixteen colours that every terminal and every colour scheme has.
    Ansi,
}

impl Palette {
    /// Returns the text as this palette marks it. The text holds no escapes of its own.
    #[must_use]
    pub fn paint(self, label: Label, text: &str) -> String {
        if self == Self::Plain || text.is_empty() {
            return text.to_owned();
        }
        let code = match label {
            Label::Create => "32",
            Label::Change => "33",
            Label::Delete => "31",
            Label::Held => "35",
            Label::Faint => "2",
            Label::Strong => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}
