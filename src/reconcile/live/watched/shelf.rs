//! What is remembered of one kind in one namespace. No clock, no task: events in, pages out.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use serde_json::Value;

use super::Touched;
use crate::edge::cluster::{Page, WatchEvent};
use crate::model::document::Document;
use crate::model::{Kind, Ownership, Scope, token};
use crate::reconcile::live::owned::{Fingerprint, standing};
use crate::reconcile::live::reduce::{ownership, reduce};
use crate::reconcile::live::{Observed, Readiness};

/// Objects of one page. Parsed they take ten times their text, and pages cost nothing here.
const PAGE_SIZE: usize = 100;
/// What a page token of memory begins with; a server's is base64.
const TOKEN: &str = "memory:";

/// What is remembered of one kind in one namespace.
#[derive(Default)]
pub(super) struct Shelf {
    objects: BTreeMap<String, Kept>,
    /// The names that the list under way has shown so far.
    listing: Option<BTreeSet<String>>,
    is_complete: bool,
    /// The newest version that an event had: what is older and not here is gone.
    passed: u64,
}

/// One object.
struct Kept {
    text: Box<str>,
    uid: Box<str>,
    version: u64,
    owner: Option<Ownership>,
    standing: Fingerprint,
    readiness: Readiness,
}

/// Tells whether a page token is of memory.
pub(super) fn is_token(token: &str) -> bool {
    token.starts_with(TOKEN)
}

impl Shelf {
    /// Tells whether it has ever held everything.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    /// Takes one event in and returns whose objects it touched.
    pub(super) fn take(&mut self, kind: Kind, event: WatchEvent) -> Touched {
        match event {
            WatchEvent::Begun => {
                self.listing = Some(BTreeSet::new());
                Touched::new()
            }
            WatchEvent::Listed(object) => self.keep(kind, object),
            WatchEvent::Applied(object) => {
                self.passed = self.passed.max(version(&object));
                self.keep(kind, object)
            }
            WatchEvent::Complete => self.complete(),
            WatchEvent::Deleted(object) => {
                let (name, version) = (name(&object), version(&object));
                self.passed = self.passed.max(version);
                let is_known = |kept: &Kept| kept.version <= version;
                match self.objects.get(&name).is_some_and(is_known) {
                    true => self
                        .objects
                        .remove(&name)
                        .and_then(|kept| Some(kept.owner?.slug))
                        .into_iter()
                        .collect(),
                    false => Touched::new(),
                }
            }
        }
    }

    /// Keeps what a write was answered with, unless the object was deleted since: then its event may have come first.
    pub(super) fn keep_answer(&mut self, kind: Kind, object: Value) {
        let is_gone = version(&object) <= self.passed && !self.objects.contains_key(&name(&object));
        if !is_gone {
            self.keep(kind, object);
        }
    }

    /// Keeps an object unless a later state of it is kept already.
    fn keep(&mut self, kind: Kind, mut object: Value) -> Touched {
        if kind == Kind::Secret {
            token::seal(&mut object);
        }
        let name = name(&object);
        if let Some(listing) = &mut self.listing {
            listing.insert(name.clone());
        }
        let new = Kept::new(kind, &object);
        let old = self.objects.get(&name);
        if old.is_some_and(|old| old.version >= new.version && old.version > 0) {
            return Touched::new();
        }
        let is_same = |old: &Kept| old.standing == new.standing && old.readiness == new.readiness;
        let touched = match old {
            Some(old) if is_same(old) => Touched::new(),
            old => [old, Some(&new)]
                .into_iter()
                .filter_map(|kept| Some(kept?.owner.as_ref()?.slug.clone()))
                .collect(),
        };
        self.objects.insert(name, new);
        touched
    }

    /// Drops an object that was deleted, unless its name has a new one by now.
    pub(super) fn forget(&mut self, name: &str, uid: &str) {
        if self.objects.get(name).is_some_and(|kept| *kept.uid == *uid) {
            self.objects.remove(name);
        }
    }

    fn complete(&mut self) -> Touched {
        self.is_complete = true;
        let Some(listed) = self.listing.take() else {
            return Touched::new();
        };
        let gone: Vec<String> = self
            .objects
            .keys()
            .filter(|name| !listed.contains(*name))
            .cloned()
            .collect();
        gone.iter()
            .filter_map(|name| Some(self.objects.remove(name)?.owner?.slug))
            .collect()
    }

    /// Returns a page of the objects in scope, from where the last page ended.
    pub(super) fn page(&self, scope: &Scope, from: Option<&str>) -> Page {
        let after = from.and_then(|token| token.strip_prefix(TOKEN));
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = self.objects.range::<str, _>((start, Bound::Unbounded));
        let is_in = |(_, kept): &(&String, &Kept)| {
            let slug = kept.owner.as_ref().and_then(|owner| owner.slug.as_ref());
            slug.is_none_or(|slug| scope.contains(slug))
        };
        let mut rest = rest.filter(is_in).peekable();
        let (mut items, mut last) = (Vec::new(), None);
        while items.len() < PAGE_SIZE
            && let Some((name, kept)) = rest.next()
        {
            // The text was written from a value.
            items.extend(serde_json::from_str::<Document>(&kept.text));
            last = Some(name);
        }
        let next = rest.peek().and(last).map(|name| format!("{TOKEN}{name}"));
        Page { items, next }
    }
}

impl Kept {
    fn new(kind: Kind, object: &Value) -> Self {
        let Observed { uid, readiness, .. } = reduce(kind, object);
        Self {
            text: object.to_string().into_boxed_str(),
            uid: uid.into_boxed_str(),
            version: version(object),
            owner: ownership(object),
            standing: standing(object),
            readiness,
        }
    }
}

fn name(object: &Value) -> String {
    object["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Versions of one kind are numbers that grow; zero stands for one that is none, which replaces anything.
fn version(object: &Value) -> u64 {
    let version = object["metadata"]["resourceVersion"].as_str();
    version
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Slug;

    fn service(name: &str, version: u64, port: u16) -> Value {
        json!({
            "metadata": {
                "name": name, "uid": format!("uid-{name}"), "resourceVersion": version.to_string(),
                "labels": {
                    "app.kubernetes.io/managed-by": "platform-network",
                    "platform.challenge.slug": name,
                    "platform.component": "challenge",
                },
            },
            "spec": {"ports": [{"port": port}]},
            "status": {"seen": version},
        })
    }

    fn slugs(names: &[&str]) -> Touched {
        names.iter().map(|name| Slug::parse(name).ok()).collect()
    }

    fn take(shelf: &mut Shelf, event: WatchEvent) -> Touched {
        shelf.take(Kind::Service, event)
    }

    fn names(page: &Page) -> Vec<String> {
        let items = page.items.iter().map(Document::to_value);
        items.map(|object| name(&object)).collect()
    }

    #[test]
    fn only_what_a_pass_may_have_to_see_to_touches() {
        let mut shelf = Shelf::default();
        assert_eq!(
            take(&mut shelf, WatchEvent::Applied(service("aa", 5, 80))),
            slugs(&["aa"])
        );
        assert_eq!(
            take(&mut shelf, WatchEvent::Applied(service("aa", 6, 80))),
            slugs(&[])
        );
        assert_eq!(
            take(&mut shelf, WatchEvent::Applied(service("aa", 7, 81))),
            slugs(&["aa"])
        );
    }

    #[test]
    fn a_late_event_does_not_undo_what_is_known() {
        let mut shelf = Shelf::default();
        shelf.keep(Kind::Service, service("aa", 9, 80));
        assert_eq!(
            take(&mut shelf, WatchEvent::Applied(service("aa", 8, 81))),
            slugs(&[])
        );
        assert_eq!(
            take(&mut shelf, WatchEvent::Deleted(service("aa", 8, 80))),
            slugs(&[])
        );
        assert_eq!(
            shelf.page(&Scope::All, None).items[0].to_value()["spec"]["ports"][0]["port"],
            80
        );
        assert_eq!(
            take(&mut shelf, WatchEvent::Deleted(service("aa", 10, 80))),
            slugs(&["aa"])
        );
        assert_eq!(shelf.len(), 0);
    }

    #[test]
    fn an_answer_that_comes_after_the_end_of_its_object_brings_nothing_back() {
        let mut shelf = Shelf::default();
        take(&mut shelf, WatchEvent::Applied(service("aa", 5, 80)));
        take(&mut shelf, WatchEvent::Deleted(service("aa", 6, 80)));
        shelf.keep_answer(Kind::Service, service("aa", 5, 80));
        assert_eq!(shelf.len(), 0);
        shelf.keep_answer(Kind::Service, service("aa", 7, 80));
        shelf.keep_answer(Kind::Service, service("bb", 8, 80));
        assert_eq!(shelf.len(), 2, "what is newer than all events is there");
    }

    #[test]
    fn a_new_list_drops_what_it_does_not_hold_and_keeps_what_was_written_meanwhile() {
        let mut shelf = Shelf::default();
        for name in ["aa", "bb"] {
            take(&mut shelf, WatchEvent::Applied(service(name, 5, 80)));
        }
        assert!(!shelf.is_complete());
        take(&mut shelf, WatchEvent::Begun);
        take(&mut shelf, WatchEvent::Listed(service("aa", 5, 80)));
        shelf.keep(Kind::Service, service("cc", 6, 80));
        assert_eq!(take(&mut shelf, WatchEvent::Complete), slugs(&["bb"]));
        assert!(shelf.is_complete());
        assert_eq!(names(&shelf.page(&Scope::All, None)), ["aa", "cc"]);
    }

    #[test]
    fn a_deleted_object_is_forgotten_and_its_successor_is_not() {
        let mut shelf = Shelf::default();
        shelf.keep(Kind::Service, service("aa", 5, 80));
        shelf.forget("aa", "another");
        assert_eq!(shelf.len(), 1);
        shelf.forget("aa", "uid-aa");
        assert_eq!(shelf.len(), 0);
    }

    #[test]
    fn pages_hold_everything_once_and_only_what_is_in_scope() {
        let mut shelf = Shelf::default();
        let all: Vec<String> = (0..250).map(|n| format!("c-{n:03}")).collect();
        for name in &all {
            shelf.keep(Kind::Service, service(name, 5, 80));
        }
        let (mut seen, mut token) = (Vec::new(), None);
        loop {
            let page = shelf.page(&Scope::All, token.as_deref());
            assert!(page.items.len() <= PAGE_SIZE);
            seen.extend(names(&page));
            token = page.next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, all);
        let page = shelf.page(
            &Scope::Only(slugs(&["c-200", "c-007"]).into_iter().flatten().collect()),
            None,
        );
        assert_eq!(
            (names(&page), page.next),
            (vec!["c-007".to_owned(), "c-200".to_owned()], None)
        );
    }

    #[test]
    fn no_value_of_a_secret_is_kept() {
        let mut shelf = Shelf::default();
        let secret = json!({"metadata": {"name": "s"}, "data": {"password": "Y2FuYXJ5"}});
        shelf.keep(Kind::Secret, secret);
        let page = shelf.page(&Scope::All, None);
        let kept = page.items[0].to_value();
        let kept = kept["data"]["password"].as_str().unwrap();
        assert!(kept.starts_with("sha256:"), "{kept}");
    }
}
