//! Progress of an `apply`: on a terminal one line per challenge, drawn in place; elsewhere nothing but what went wrong.

use std::collections::BTreeMap;
use std::sync::Mutex;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::terminal::Terminal;
use crate::model::{Key, Slug};
use crate::reconcile::Planned;
use crate::reconcile::apply::Outcome;
use crate::reconcile::plan::{Held, Plan, Step};

/// Challenges with a line of their own; the rest share one, so that a screen holds all.
const MAX_LINES: usize = 20;

/// The lines that are drawn.
pub struct Board {
    lines: MultiProgress,
    by_slug: BTreeMap<Option<Slug>, ProgressBar>,
    rest: ProgressBar,
    counted: Mutex<std::collections::BTreeSet<Key>>,
}

impl Board {
    /// Begins to draw, where standard error is a terminal.
    #[must_use]
    pub fn new(plan: &Plan, terminal: &Terminal) -> Self {
        let target = match terminal.shows_progress() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let lines = MultiProgress::with_draw_target(target);
        let mut totals: BTreeMap<Option<Slug>, u64> = BTreeMap::new();
        for slug in plan
            .steps
            .iter()
            .map(|step| step.slug.clone())
            .chain(waiting(plan))
        {
            *totals.entry(slug).or_default() += 1;
        }
        let mut by_slug = BTreeMap::new();
        let mut left = 0;
        for (slug, total) in totals {
            if by_slug.len() < MAX_LINES {
                let name = slug.as_ref().map_or("(shared)", Slug::as_str).to_owned();
                by_slug.insert(slug, lines.add(line(name, total)));
            } else {
                left += total;
            }
        }
        let rest = line("(others)".to_owned(), left);
        if left > 0 {
            lines.add(rest.clone());
        }
        Self {
            lines,
            by_slug,
            rest,
            counted: Mutex::default(),
        }
    }

    /// Counts a step that is done, once.
    pub fn step(&self, step: &Step, outcome: &Outcome) {
        let bar = self.by_slug.get(&step.slug).unwrap_or(&self.rest);
        match outcome {
            Outcome::Done(key) => {
                let is_new = self
                    .counted
                    .lock()
                    .is_ok_and(|mut counted| counted.insert(key.clone()));
                bar.inc(u64::from(is_new));
            }
            Outcome::Failed(key, error) => bar.set_message(format!("{key}: {}", error.told())),
            Outcome::NotReached { behind, .. } => bar.set_message(format!("waits for {behind}")),
            Outcome::OutOfTime(_) => bar.set_message("the time is over"),
        }
    }

    /// Shows what each challenge waits for.
    pub fn look(&self, planned: &Planned) {
        for bar in self.by_slug.values() {
            bar.set_message("");
        }
        for held in &planned.plan.held {
            if let Held::Waits { slug, on, why, .. } = held
                && let Some(bar) = self.by_slug.get(slug)
            {
                bar.set_message(format!("waits for {on}: {why}"));
            }
        }
    }

    /// Takes the lines away again.
    pub fn finish(&self) {
        // A terminal that is gone needs no clearing.
        drop(self.lines.clear());
    }
}

fn waiting(plan: &Plan) -> impl Iterator<Item = Option<Slug>> {
    plan.held.iter().filter_map(|held| match held {
        Held::Waits { slug, .. } => Some(slug.clone()),
        _ => None,
    })
}

fn line(name: String, total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("  {prefix:24} {bar:20} {pos}/{len}  {wide_msg}");
    let bar = ProgressBar::new(total).with_prefix(name);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
