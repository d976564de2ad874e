//! One difference between what is wanted and what we own, and the only place that makes one.
//!
//! A Secret's values never enter a [`Difference`]: [`Recorder`] decides by kind and path, before
//! anything is copied, and the type has no room for a value then.

use serde_json::{Map, Value};

use super::{
    path::{FieldPath, Step},
    record::{self, Holder},
    same::{self, Units},
};

/// Differences listed per object. Enough for every object of ours to differ in all it has; the bound is
/// there for objects that somebody else made huge.
const MAX_LISTED: usize = 200;

/// What a Secret may show of itself.
const SHOWN_OF_A_SECRET: [&[&str]; 3] = [&["metadata", "labels"], &["type"], &["immutable"]];

/// All differences of one object, in the order of their paths.
#[derive(Clone, Debug, PartialEq)]
pub struct Differences {
    pub(super) listed: Vec<Difference>,
    pub(super) unlisted: usize,
}

/// One difference between what is wanted and what we own.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    path: FieldPath,
    kind: Kind,
    effect: Effect,
    values: Values,
    holder: Option<Holder>,
}

/// How something differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Wanted, and neither owned nor there: new in the want, or removed by somebody.
    Missing,
    /// Wanted and there, but not owned: somebody else set it, or set it back.
    Taken,
    /// Owned, but another value is there.
    Changed,
    /// Owned, and no longer wanted.
    Unwanted,
    /// The owned items of a list are there, in another order. Values are the items' names in order.
    Reordered,
    /// An item that an apply would leave has a wanted item's name under another key: a port whose number
    /// somebody edited. An apply would be refused for ever as a duplicate name.
    Blocked,
    /// The want names an item of a keyed list twice. The server answers 500 to this; never send it.
    Duplicate,
    /// The ownership record has a form this project does not know: ask the server.
    Unreadable,
}

/// What an apply would change at this path, as far as it can be told without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The stored value.
    Content,
    /// Only who owns it: the value is as wanted already, or another manager keeps it.
    Ownership,
}

/// The two values of a difference.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// What is wanted and what is there; `None` is absent.
    Shown {
        /// The value wanted.
        want: Option<Value>,
        /// The value there.
        live: Option<Value>,
    },
    /// The object is a Secret: that it differs may be told, and not what it holds.
    Hidden,
}

impl Differences {
    /// Returns the differences, ordered by path; at most 200.
    pub fn listed(&self) -> &[Difference] {
        &self.listed
    }

    /// Returns how many more there are.
    pub fn unlisted(&self) -> usize {
        self.unlisted
    }

    /// Tells whether an apply would change ownership only, and no content.
    pub fn is_ownership_only(&self) -> bool {
        self.unlisted == 0
            && self
                .listed
                .iter()
                .all(|difference| difference.effect == Effect::Ownership)
    }
}

impl Difference {
    /// Returns where it is.
    pub fn path(&self) -> &FieldPath {
        &self.path
    }

    /// Returns how it differs.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns what an apply would change.
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// Returns the values, unless they are secret.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Returns another manager that holds the path: for what is missing or taken, who took it; for what
    /// is no longer wanted, who keeps it. `None` where the server names nobody, as after a removal.
    pub fn holder(&self) -> Option<&Holder> {
        self.holder.as_ref()
    }
}

/// Values seen at a path, not copied yet.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) want: Option<&'a Value>,
    pub(super) live: Option<&'a Value>,
}

impl<'a> Pair<'a> {
    /// The values of a path that is wanted.
    pub(super) fn of(want: &'a Value, live: Option<&'a Value>) -> Self {
        Self {
            want: Some(want),
            live,
        }
    }
}

/// Collects the differences of one object.
pub(super) struct Recorder<'a> {
    live: &'a Value,
    manager: &'a str,
    is_secret: bool,
    listed: Vec<Difference>,
    unlisted: usize,
}

impl<'a> Recorder<'a> {
    /// An object that does not say its kind is treated as a Secret.
    pub(super) fn new(want: &Value, live: &'a Value, manager: &'a str) -> Self {
        let is_secret = matches!(record::text(want, "kind"), "" | "Secret")
            || record::text(live, "kind") == "Secret";
        Self {
            live,
            manager,
            is_secret,
            listed: Vec::new(),
            unlisted: 0,
        }
    }

    /// Tells whether somebody else owns members of the object at this path.
    pub(super) fn is_held_by_member(&self, path: &[Step<'_>]) -> bool {
        record::is_held_by_member(self.live, self.manager, path)
    }

    /// Returns the items of the list at this path that somebody else owns one by one.
    pub(super) fn items_of_others(&self, path: &[Step<'_>]) -> Option<&'a Map<String, Value>> {
        record::items_of_others(self.live, self.manager, path)
    }

    /// Tells whether somebody else holds this path too.
    pub(super) fn is_held(&self, path: &[Step<'_>]) -> bool {
        record::holder(self.live, self.manager, path).is_some()
    }

    /// Records a difference whose other holder, if any, holds the same path.
    pub(super) fn record(&mut self, path: &[Step<'_>], kind: Kind, pair: Pair<'_>, units: Units) {
        self.record_held(path, path, kind, pair, units);
    }

    /// Records a difference, with whoever else holds `held`.
    pub(super) fn record_held(
        &mut self,
        path: &[Step<'_>],
        held: &[Step<'_>],
        kind: Kind,
        pair: Pair<'_>,
        units: Units,
    ) {
        if self.listed.len() == MAX_LISTED {
            self.unlisted += 1;
            return;
        }
        let holder = matches!(
            kind,
            Kind::Missing | Kind::Taken | Kind::Unwanted | Kind::Blocked
        )
        .then(|| record::holder(self.live, self.manager, held))
        .flatten();
        let path = FieldPath::new(path.iter().map(Step::to_segment).collect());
        self.listed.push(Difference {
            effect: effect(kind, pair, units, holder.is_some()),
            values: self.values(&path, pair),
            path,
            kind,
            holder,
        });
    }

    pub(super) fn finish(mut self) -> Option<Differences> {
        self.listed
            .sort_by(|left, right| (&left.path, left.kind).cmp(&(&right.path, right.kind)));
        (!self.listed.is_empty()).then_some(Differences {
            listed: self.listed,
            unlisted: self.unlisted,
        })
    }

    fn values(&self, path: &FieldPath, pair: Pair<'_>) -> Values {
        if self.is_secret
            && !SHOWN_OF_A_SECRET
                .iter()
                .any(|shown| path.starts_with(shown))
        {
            return Values::Hidden;
        }
        Values::Shown {
            want: pair.want.cloned(),
            live: pair.live.cloned(),
        }
    }
}

/// Errs towards content: a blank that is missing may be stored (in a map) or dropped (in a struct).
fn effect(kind: Kind, pair: Pair<'_>, units: Units, is_held: bool) -> Effect {
    let keeps_content = match kind {
        Kind::Taken => same::is_same(pair.want, pair.live, units),
        Kind::Unwanted => is_held || pair.live.is_none(),
        Kind::Missing
        | Kind::Changed
        | Kind::Reordered
        | Kind::Blocked
        | Kind::Duplicate
        | Kind::Unreadable => false,
    };
    if keeps_content {
        Effect::Ownership
    } else {
        Effect::Content
    }
}
