//! Lines with a left and a right part, painted after they are measured. Pure.

use super::palette::{Label, Palette};

/// The column at which the right part of a line begins.
const RIGHT: usize = 74;

/// A text that grows by lines.
pub struct Page {
    palette: Palette,
    text: String,
}

impl Page {
    /// Returns an empty page.
    pub fn new(palette: Palette) -> Self {
        Self {
            palette,
            text: String::new(),
        }
    }

    /// Adds a line without blanks at its end.
    pub fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// Adds an empty line, unless the page is empty or ends in one.
    pub fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// Adds a line of one label.
    pub fn labelled(&mut self, label: Label, line: &str) {
        let line = self.palette.paint(label, line.trim_end());
        self.line(&line);
    }

    /// Adds a line whose right part stands in a column of its own, if there is room.
    pub fn two(&mut self, label: Label, left: &str, right: &str) {
        let width = left.chars().count();
        let room = RIGHT.saturating_sub(width).max(3);
        let blanks = if right.is_empty() { 0 } else { room };
        let left = self.palette.paint(label, left);
        self.line(&format!("{left}{}{right}", " ".repeat(blanks)));
    }

    /// Returns a text as this page marks it.
    pub fn paint(&self, label: Label, text: &str) -> String {
        self.palette.paint(label, text)
    }

    /// Returns the text.
    pub fn into_text(self) -> String {
        self.text
    }
}
