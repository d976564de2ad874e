//! The plan for a terminal: challenges, their steps, what the steps mean, totals, and guards. Pure.

use similar::ChangeTag;

use super::{
    Header, Options, consequence,
    group::{Group, Outline, Totals, groups, is_quiet},
    mask,
    page::Page,
    palette::Label,
    value::{self, Shown},
    whole, words,
};
use crate::{
    model::{ClusterName, Key, Kind, ObjectKey},
    reconcile::{
        live::Change,
        plan::{Action, Plan, Step, digest::plan_digest},
    },
};

/// Changes shown of one step.
const MAX_CHANGES: usize = 50;
/// Remarks shown of one challenge.
const MAX_NOTES: usize = 20;
/// Challenges shown of which nothing is changed and nothing waits.
const MAX_BYSTANDERS: usize = 10;
/// Digits shown of a plan's digest: enough to tell two plans apart by eye.
const DIGEST_SHOWN: usize = 12;
/// The column at which the reason of a challenge that only waits begins.
const REASON: usize = 14;

/// Returns a plan as text for people. It ends in a line break.
///
/// Values are masked, made safe for a terminal, and cut; the same plan gives the same bytes.
#[must_use]
pub fn render_text(plan: &Plan, header: &Header, options: &Options) -> String {
    let mut page = Page::new(options.palette);
    push_header(&mut page, plan, header);
    let groups = groups(plan);
    let is_bystander = |group: &&Group<'_>| group.outline() == Outline::None;
    page.gap();
    for group in groups.iter().filter(|group| !is_bystander(group)) {
        push_group(&mut page, group, header, options);
    }
    page.gap();
    push_bystanders(&mut page, groups.iter().filter(is_bystander).collect());
    page.gap();
    push_totals(&mut page, plan);
    push_guards(&mut page, plan);
    page.into_text()
}

fn push_header(page: &mut Page, plan: &Plan, header: &Header) {
    let parts = [
        ("source", format!("{} at {}", header.source, plan.revision)),
        ("cluster", header.cluster.clone()),
        ("database", header.database.clone()),
    ];
    let mut line = String::new();
    for (name, text) in parts {
        let gap = if name == "source" { "  " } else { " " };
        let between = if line.is_empty() { "" } else { "     " };
        let name = page.paint(Label::Faint, name);
        line.push_str(&format!("{between}{name}{gap}{}", mask::line(&text)));
    }
    page.line(&line);
}

fn push_group(page: &mut Page, group: &Group<'_>, header: &Header, options: &Options) {
    let (sigil, label) = sigil_of_outline(group.outline());
    let mut head = format!("{sigil} {}", name(group));
    let mut reasons = words::reasons(group);
    if group.outline() == Outline::Held && reasons.len() == 1 {
        let blanks = REASON.saturating_sub(head.chars().count()).max(3);
        head.push_str(&format!("{}{}", " ".repeat(blanks), reasons.remove(0)));
    }
    page.two(label, &head, &aside(group, header));
    if options.is_full || !group.is_uniform() {
        push_steps(page, group, options);
    }
    for reason in reasons {
        page.labelled(Label::Held, &format!("    ! {reason}"));
    }
    if let Some(kept) = words::kept(group) {
        page.line(&format!("    {kept}"));
    }
    push_notes(page, group);
}

/// Returns what stands on the right of a challenge's line: how much is made or deleted, its share, its wait.
fn aside(group: &Group<'_>, header: &Header) -> String {
    let extent = match group.outline() {
        Outline::Create if group.is_uniform() => Some(words::extent(group)),
        Outline::Delete if group.is_uniform() => Some(format!("{} deleted", words::extent(group))),
        _ => None,
    };
    let held_for = group.slug.and_then(|slug| header.held_for.get(slug));
    let since = held_for.filter(|_| !group.held.is_empty());
    let since = since.map(|since| format!("since {}", mask::line(since)));
    let parts = [extent, words::share(group), since];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

fn push_steps(page: &mut Page, group: &Group<'_>, options: &Options) {
    let mut steps = group.steps.clone();
    steps.sort_by_key(|step| step.key.object().is_some());
    let width = steps
        .iter()
        .map(|step| noun(&step.key).chars().count())
        .max();
    for step in steps {
        let beside = if options.is_full { None } else { beside(step) };
        push_step(
            page,
            step,
            group,
            (width.unwrap_or_default(), beside.as_deref()),
        );
        match &step.action {
            _ if options.is_full => push_whole(page, step),
            Action::Update { changes, .. } if beside.is_none() => push_changes(page, step, changes),
            _ => {}
        }
        push_means(page, step, group);
    }
}

/// Adds the line of a step, and what stands beside it.
fn push_step(page: &mut Page, step: &Step, group: &Group<'_>, beside: (usize, Option<&[String]>)) {
    let (width, beside) = beside;
    let (sigil, label) = sigil_of_action(&step.action);
    let subject = match &step.key {
        Key::Object(key) => object_name(key),
        Key::Row(row) if group.slug.is_some() && group.slug == row.slug() => String::new(),
        Key::Row(row) => mask::line(row.id()),
    };
    let head = page.paint(label, &format!("    {sigil} {:width$}", noun(&step.key)));
    let mut beside = beside.unwrap_or_default().iter();
    let first = beside.next().map_or("", String::as_str);
    let blanks = if subject.is_empty() || first.is_empty() {
        ""
    } else {
        "   "
    };
    page.line(&format!("{head}  {subject}{blanks}{first}"));
    let indent = " ".repeat(8 + width + subject.chars().count() + blanks.len());
    for line in beside {
        page.line(&format!("{indent}{line}"));
    }
}

/// Returns the changes of a row, if all are short: they stand beside its name.
fn beside(step: &Step) -> Option<Vec<String>> {
    let (Key::Row(_), Action::Update { changes, .. }) = (&step.key, &step.action) else {
        return None;
    };
    if changes.len() > MAX_CHANGES {
        return None;
    }
    let paths: Vec<_> = changes
        .iter()
        .map(|change| mask::line(&change.path))
        .collect();
    let width = paths.iter().map(|path| path.chars().count()).max()?;
    let line = |(path, change): (&String, &Change)| {
        let values = value::shown(&step.key, change).inline()?;
        Some(format!("{path:width$}   {values}{}", taken(change)))
    };
    paths.iter().zip(changes).map(line).collect()
}

fn push_changes(page: &mut Page, step: &Step, changes: &[Change]) {
    for change in changes.iter().take(MAX_CHANGES) {
        push_change(page, step, change);
    }
    if changes.len() > MAX_CHANGES {
        let rest = words::counted(changes.len() - MAX_CHANGES, "more change");
        page.labelled(Label::Faint, &format!("        … {rest}"));
    }
}

fn push_change(page: &mut Page, step: &Step, change: &Change) {
    let shown = value::shown(&step.key, change);
    let taken = taken(change);
    let path = mask::line(&change.path);
    if let Some(values) = shown.inline() {
        page.line(&format!("        {path}   {values}{taken}"));
        return;
    }
    let order = if matches!(shown, Shown::Order(..)) {
        "   (order)"
    } else {
        ""
    };
    page.line(&format!("        {path}{order}{taken}"));
    let (old, new) = match shown {
        Shown::Order(old, new) => (Some(old), Some(new)),
        Shown::Pair(old, new) => (old, new),
        Shown::Hidden | Shown::Same(_) => (None, None),
    };
    for (label, sigil, value) in [(Label::Delete, '-', old), (Label::Create, '+', new)] {
        if let Some(value) = value {
            page.labelled(label, &format!("          {sigil} {value}"));
        }
    }
}

fn taken(change: &Change) -> String {
    let taken = change.taken_by.as_ref();
    let taken = taken.map(|by| format!("   taken by {}", mask::line(by)));
    taken.unwrap_or_default()
}

/// Adds a whole object, and the changes that it does not show.
fn push_whole(page: &mut Page, step: &Step) {
    let (lines, rest) = match &step.action {
        Action::Create(new) => match whole::content(new) {
            Some(content) => (whole::created(&step.key, &content), Vec::new()),
            None => return,
        },
        Action::Update { new, changes, .. } => match whole::content(new) {
            Some(content) => whole::updated(&step.key, &content, changes),
            None => (Vec::new(), changes.iter().collect()),
        },
        Action::Delete { .. } => return,
    };
    for change in rest.into_iter().take(MAX_CHANGES) {
        push_change(page, step, change);
    }
    for (tag, line) in lines {
        match tag {
            ChangeTag::Insert => page.labelled(Label::Create, &format!("        + {line}")),
            ChangeTag::Delete => page.labelled(Label::Delete, &format!("        - {line}")),
            ChangeTag::Equal => page.line(&format!("          {line}")),
        }
    }
}

fn push_means(page: &mut Page, step: &Step, group: &Group<'_>) {
    let mut means = consequence::means(step, &group.steps);
    let waits = |kind: Kind| matches!(kind, Kind::StatefulSet | Kind::Deployment);
    for after in step.after.iter().filter(|after| waits(after.kind)) {
        means.push(mask::line(&format!("after {after} is ready")));
    }
    if !means.is_empty() {
        page.labelled(Label::Faint, &format!("        {}", means.join(" · ")));
    }
}

fn push_notes(page: &mut Page, group: &Group<'_>) {
    for note in group.notes.iter().take(MAX_NOTES) {
        let note = format!("{}: {}", note.key, note.text);
        page.labelled(Label::Faint, &format!("    note: {}", mask::line(&note)));
    }
    if group.notes.len() > MAX_NOTES {
        let rest = words::counted(group.notes.len() - MAX_NOTES, "more note");
        page.labelled(Label::Faint, &format!("    … {rest}"));
    }
}

/// Adds the challenges of which nothing is changed and nothing waits: a share that moves because another
/// one does, what an earlier removal kept, remarks.
fn push_bystanders(page: &mut Page, groups: Vec<&Group<'_>>) {
    let rest = groups.len().saturating_sub(MAX_BYSTANDERS);
    for group in groups.into_iter().take(MAX_BYSTANDERS) {
        let head = format!("  {}", name(group));
        let share = words::share(group).unwrap_or_default();
        page.two(Label::Faint, &head, &share);
        if let Some(kept) = words::kept(group) {
            page.labelled(Label::Faint, &format!("    {kept}"));
        }
        push_notes(page, group);
    }
    if rest > 0 {
        let rest = words::counted(rest, "more challenge");
        page.labelled(Label::Faint, &format!("  … {rest} with nothing to do"));
    }
}

fn push_totals(page: &mut Page, plan: &Plan) {
    let digest = plan_digest(plan);
    let digest = format!("plan {}…", &digest[..DIGEST_SHOWN]);
    let totals = words::totals(Totals::of(plan));
    let quiet = if is_quiet(plan) { "No changes. " } else { "" };
    page.two(Label::Strong, &format!("{quiet}{totals}"), &digest);
}

fn push_guards(page: &mut Page, plan: &Plan) {
    if plan.guards.is_empty() {
        return;
    }
    page.gap();
    for guard in &plan.guards {
        let line = format!(
            "! {} (apply with {})",
            words::guard(guard),
            words::flag(guard)
        );
        page.labelled(Label::Held, &line);
    }
}

/// Returns a challenge's slug, or what stands for everything that belongs to none.
pub fn name(group: &Group<'_>) -> String {
    match group.slug {
        Some(slug) => slug.to_string(),
        None => "(shared)".to_owned(),
    }
}

/// Returns the sigil of what happens to a challenge.
pub fn sigil_of_outline(outline: Outline) -> (char, Label) {
    match outline {
        Outline::Create => ('+', Label::Create),
        Outline::Change => ('~', Label::Change),
        Outline::Delete => ('-', Label::Delete),
        Outline::Held => ('!', Label::Held),
        Outline::None => (' ', Label::Faint),
    }
}

fn sigil_of_action(action: &Action) -> (char, Label) {
    match action {
        Action::Create(_) => ('+', Label::Create),
        Action::Update { .. } => ('~', Label::Change),
        Action::Delete { .. } => ('-', Label::Delete),
    }
}

fn noun(key: &Key) -> &'static str {
    match key {
        Key::Object(key) => key.kind.as_str(),
        Key::Row(row) => row.table(),
    }
}

fn object_name(key: &ObjectKey) -> String {
    match &key.cluster {
        ClusterName::Local => mask::line(&key.name),
        ClusterName::Target(id) => mask::line(&format!("{} on {id}", key.name)),
    }
}
