//! The plan as a comment on a pull request: a table by challenge, the text of the diff folded below it. Pure.
//!
//! Everything that others chose stands in code, where no forge reads links, mentions or markup.

use super::{
    Header, Options, Palette,
    group::{Group, Outline, Totals, groups, is_quiet},
    render_text,
    text::{name, sigil_of_outline},
    words,
};
use crate::reconcile::plan::{Plan, digest::plan_digest};

/// Rows of the table. With [`MAX_TEXT`] this stays below the 65 536 characters that a comment may have.
const MAX_ROWS: usize = 100;
/// Bytes of the text that is folded below the table.
const MAX_TEXT: usize = 36_000;

/// Returns a plan as Markdown, at most 60 000 bytes unless there are very many guards.
#[must_use]
pub fn render_markdown(plan: &Plan, header: &Header) -> String {
    let totals = words::totals(Totals::of(plan));
    let title = if is_quiet(plan) {
        "no changes"
    } else {
        totals.as_str()
    };
    let mut out = format!("### platform plan: {title}\n\n");
    let parts = [
        ("source", format!("{} at {}", header.source, plan.revision)),
        ("cluster", header.cluster.clone()),
        ("database", header.database.clone()),
    ];
    let parts = parts.map(|(name, text)| format!("{name} {}", code(&super::mask::line(&text))));
    out.push_str(&format!("{}\n", parts.join(" · ")));
    push_table(&mut out, plan);
    push_guards(&mut out, plan);
    push_details(&mut out, &text_of(plan, header));
    out.push_str(&format!("\n{totals} · plan `{}`\n", plan_digest(plan)));
    out
}

fn push_table(out: &mut String, plan: &Plan) {
    let mut groups = groups(plan);
    groups.retain(|group| group.outline() != Outline::None);
    if groups.is_empty() {
        return;
    }
    out.push_str("\n| | Challenge | What | Share |\n| --- | --- | --- | --- |\n");
    for group in groups.iter().take(MAX_ROWS) {
        let (sigil, _) = sigil_of_outline(group.outline());
        let share = words::share(group).unwrap_or_default();
        let share = share.trim_start_matches("share ");
        let row = format!(
            "| `{sigil}` | {} | {} | {share} |\n",
            name(group),
            what(group)
        );
        out.push_str(&row);
    }
    if groups.len() > MAX_ROWS {
        let rest = words::counted(groups.len() - MAX_ROWS, "more challenge");
        out.push_str(&format!("| | … {rest} | | |\n"));
    }
}

/// Returns how much of a challenge is changed, held and kept.
fn what(group: &Group<'_>) -> String {
    let extent = Some(words::extent(group)).filter(|extent| !extent.is_empty());
    let held = Some(group.held.len()).filter(|held| *held > 0);
    let kept = Some(group.kept.len()).filter(|kept| *kept > 0);
    let parts = [
        extent,
        held.map(|held| format!("{held} held")),
        kept.map(|kept| format!("{kept} kept")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn push_guards(out: &mut String, plan: &Plan) {
    for guard in &plan.guards {
        let (text, flag) = (code(&words::guard(guard)), words::flag(guard));
        out.push_str(&format!("\n> **Guarded**: {text}, apply with `{flag}`\n"));
    }
}

fn push_details(out: &mut String, text: &str) {
    let fence = fence(text, 3);
    out.push_str("\n<details><summary>Plan</summary>\n\n");
    out.push_str(&format!("{fence}diff\n{text}{fence}\n\n</details>\n"));
}

/// Returns the plain text of the plan, cut at a line.
fn text_of(plan: &Plan, header: &Header) -> String {
    let options = Options {
        palette: Palette::Plain,
        is_full: false,
    };
    let mut text = render_text(plan, header, &options);
    if text.len() > MAX_TEXT {
        let end = text.bytes().take(MAX_TEXT).rposition(|byte| byte == b'\n');
        let end = end.map_or(0, |end| end + 1);
        let rest = words::counted(text[end..].lines().count(), "more line");
        text.truncate(end);
        text.push_str(&format!("… {rest}\n"));
    }
    text
}

/// Returns a line as a code span, whatever backticks it holds.
fn code(line: &str) -> String {
    let fence = fence(line, 1);
    format!("{fence} {line} {fence}")
}

/// Returns more backticks than stand together anywhere in the text, and at least `least`.
fn fence(text: &str, least: usize) -> String {
    let runs = text.split(|c| c != '`').map(str::len);
    let longest = runs.max().unwrap_or_default();
    "`".repeat(least.max(longest + 1))
}
