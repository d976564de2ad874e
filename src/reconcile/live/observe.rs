//! Looks at the clusters: one list per kind and page, then one question per key that differs or is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream;
use serde_json::Value;

use super::owned::{self, Comparison};
use super::patience::Patience;
use super::question::{Question, changes, verdict};
use super::reduce::{is_derived_name, reduce, takes_claims_along};
use super::{Depth, Live, Look, Observed, Seen, Verdict, Why};
use crate::edge::cluster::{ClusterError, ClusterRead};
use crate::model::document::{Document, Json};
use crate::model::{
    ClusterName, FIELD_MANAGER, Item, Key, Kind, Object, ObjectKey, Ownership, Recipe, Scope,
};
use crate::parallel::in_runs;
use crate::reconcile::desired::{Desired, Presence};

/// Questions under way at once to one cluster: what a raw loop of applies uses too.
const CONCURRENT_QUESTIONS: usize = 16;
/// As few objects are reduced before a thread has begun.
const WORTH_A_THREAD: usize = 64;
/// Pages of one list. 1000 pages of 100 are 100 000 objects, ten times the largest installation foreseen.
const MAX_PAGES: usize = 1000;
/// The path of the change that makes an object ours of which we own nothing.
pub const TAKE_OVER: &str = "metadata.managedFields";
/// Times a list is begun anew because its page token expired.
const MAX_RESTARTS: usize = 2;

/// One place to look at: a namespace on a cluster, and the kinds to list there.
pub struct Place<'a> {
    /// The cluster.
    pub cluster: ClusterName,
    /// Its connection, or why there is none.
    pub reader: Result<Arc<dyn ClusterRead>, Why>,
    /// The namespace.
    pub namespace: String,
    /// The kinds that may hold objects of ours.
    pub kinds: BTreeSet<Kind>,
    /// The challenges that the look is about.
    pub scope: Scope,
    /// How far the look goes.
    pub depth: Depth<'a>,
}

/// Looks at a place and adds what is there to `live`.
pub async fn observe(place: &Place<'_>, desired: &Desired, live: &mut Live) {
    let reader = match &place.reader {
        Ok(reader) => Patience::new(reader.as_ref()),
        Err(why) => return mark_unknown(place, desired, live, why),
    };
    let reader: &dyn ClusterRead = &reader;
    let lists = place
        .kinds
        .iter()
        .map(|kind| list_kind(reader, place, *kind, desired));
    let mut questions = Vec::new();
    for (kind, listed) in place
        .kinds
        .iter()
        .zip(futures::future::join_all(lists).await)
    {
        live.seen.extend(listed.seen);
        questions.extend(listed.questions);
        if let Some(why) = listed.partial {
            live.partial.insert((place.cluster.clone(), *kind), why);
        }
    }
    super::pods::tell_reasons(reader, place, live).await;
    let missing = missing_keys(place, desired, live, &questions);
    let namespace = see_namespace(reader, place, desired, live).await;
    if let Namespace::Missing(key) = namespace {
        for missing in missing {
            let verdict = Verdict::Deferred(key.clone());
            live.seen
                .insert(Key::Object(missing), Seen::Absent { verdict });
        }
        return;
    }
    let is_asked = |key: &ObjectKey| place.depth.asks_about(&Key::Object(key.clone()));
    let (missing, left): (Vec<_>, Vec<_>) = missing.into_iter().partition(is_asked);
    let claims = unlisted_claims(&missing, desired, live);
    let unasked = |key| {
        let verdict = not_asked();
        (Key::Object(key), Seen::Absent { verdict })
    };
    live.seen.extend(left.into_iter().map(unasked));
    let (questions, left): (Vec<_>, Vec<_>) = questions
        .into_iter()
        .partition(|question| is_asked(question.key()));
    live.seen.extend(left.into_iter().map(Question::unasked));
    let wanted = |key: &ObjectKey| &desired.items[&Key::Object(key.clone())].item;
    let about_missing = missing.into_iter().map(|key| {
        let item = wanted(&key);
        async move {
            (
                Key::Object(key.clone()),
                ask_about_missing(reader, &key, item).await,
            )
        }
    });
    live.seen.extend(ask_together(about_missing).await);
    let about_claims = claims
        .into_iter()
        .map(|key| async move { see_claim(reader, key).await });
    live.seen
        .extend(ask_together(about_claims).await.into_iter().flatten());
    let about_changes = questions
        .into_iter()
        .map(|question| async move { question.ask(reader, desired).await });
    live.seen.extend(ask_together(about_changes).await);
}

/// What is known of the server's mind where it is not asked.
pub(super) fn not_asked() -> Verdict {
    Verdict::NotAsked(Why::from("this look only lists it"))
}

async fn ask_together<F: Future>(questions: impl Iterator<Item = F>) -> Vec<F::Output> {
    stream::iter(questions)
        .buffer_unordered(CONCURRENT_QUESTIONS)
        .collect()
        .await
}

fn is_at(place: &Place<'_>, key: &ObjectKey) -> bool {
    key.cluster == place.cluster && key.namespace == place.namespace && key.kind != Kind::Namespace
}

fn mark_unknown(place: &Place<'_>, desired: &Desired, live: &mut Live, why: &Why) {
    for key in desired.items.keys().filter_map(Key::object) {
        if key.cluster == place.cluster {
            live.seen
                .insert(Key::Object(key.clone()), Seen::Unknown(why.clone()));
        }
    }
    for kind in &place.kinds {
        live.partial
            .insert((place.cluster.clone(), *kind), why.clone());
    }
}

/// What a listing of one kind brought.
#[derive(Default)]
struct Listed {
    seen: Vec<(Key, Seen)>,
    questions: Vec<Question>,
    partial: Option<Why>,
}

async fn list_kind(
    reader: &dyn ClusterRead,
    place: &Place<'_>,
    kind: Kind,
    desired: &Desired,
) -> Listed {
    let mut listed = Listed::default();
    let (mut token, mut restarts) = (None, 0);
    for _ in 0..MAX_PAGES {
        let page = match reader
            .list(kind, &place.namespace, &place.scope, token.as_deref())
            .await
        {
            Ok(page) => page,
            Err(ClusterError::Gone) if restarts < MAX_RESTARTS => {
                restarts += 1;
                (listed, token) = (Listed::default(), None);
                continue;
            }
            // Of a kind that the cluster does not have there is nothing left.
            Err(ClusterError::NotFound)
                if kind == Kind::ScaledObject && !is_wanted(kind, desired) =>
            {
                return Listed::default();
            }
            Err(error) => {
                listed.partial = Some(not_listed(kind, &place.namespace, &error));
                return listed;
            }
        };
        let parts = in_runs(&page.items, WORTH_A_THREAD, |run| {
            let mut part = Listed::default();
            for object in run {
                see_listed(place, kind, object, desired, &mut part);
            }
            part
        });
        for part in parts {
            listed.seen.extend(part.seen);
            listed.questions.extend(part.questions);
        }
        token = page.next;
        if token.is_none() {
            return listed;
        }
    }
    listed.partial = Some(Why(format!("{kind} list: more than {MAX_PAGES} pages")));
    listed
}

fn is_wanted(kind: Kind, desired: &Desired) -> bool {
    let mut wanted = desired.items.keys().filter_map(Key::object);
    wanted.any(|key| key.kind == kind)
}

/// Tells why a kind is not known, with the remedy where there is one. What the server says of a missing right
/// is long, and names the account first.
fn not_listed(kind: Kind, namespace: &str, error: &ClusterError) -> Why {
    match error {
        ClusterError::Forbidden(_) => Why(format!(
            "not allowed to list {} in namespace {namespace}; the chart's Role there gives that right",
            kind.plural()
        )),
        ClusterError::NotFound => Why(format!("{kind} is not a kind of this cluster; install it")),
        error => Why(format!("{kind} list: {error}")),
    }
}

/// Sees one listed object. What is as wanted, or not wanted at all, is told from the document alone.
fn see_listed(
    place: &Place<'_>,
    kind: Kind,
    object: &Document,
    desired: &Desired,
    listed: &mut Listed,
) {
    let observed = reduce(kind, object.view());
    let owner = observed.owner.as_ref();
    let is_in = |owner: &Ownership| match &owner.slug {
        Some(slug) => place.scope.contains(slug),
        None => place.scope == Scope::All,
    };
    if owner.is_some_and(|owner| !is_in(owner)) {
        return;
    }
    let key = listed_key(place, kind, object);
    let seen = match desired.items.get(&key).map(|wanted| &wanted.item) {
        Some(Item::Object(wanted)) if is_settled(&observed, wanted, object) => observed,
        Some(Item::Object(wanted)) => {
            return see_compared(key, (observed, object.to_value()), wanted, listed);
        }
        _ => uncompared(observed, object, &key),
    };
    listed.seen.push((key, Seen::Object(Box::new(seen))));
}

fn is_settled(observed: &Observed, wanted: &Object, object: &Document) -> bool {
    observed.owner.is_some()
        && observed.owner == wanted.ownership
        && owned::is_settled(wanted.manifest.view(), object.view(), FIELD_MANAGER)
}

fn listed_key(place: &Place<'_>, kind: Kind, object: &Document) -> Key {
    let name = object.view().at(&["metadata", "name"]).and_then(Json::text);
    Key::Object(ObjectKey {
        cluster: place.cluster.clone(),
        kind,
        namespace: place.namespace.clone(),
        name: name.unwrap_or_default().to_owned(),
    })
}

/// Sees an object whose content is not compared: nothing is wanted of it, or it is made once.
fn uncompared(mut observed: Observed, object: &Document, key: &Key) -> Observed {
    let Some(key) = key.object() else {
        return observed;
    };
    let is_copy = |owner: &Ownership| !is_derived_name(key.kind, owner, &key.name);
    if observed.owner.as_ref().is_some_and(is_copy) {
        observed.owner = None;
    }
    if takes_claims_along(key.kind, object.view()) {
        observed.verdict = Verdict::Refused(Why::from(
            "its claims would be deleted with it; set spec.persistentVolumeClaimRetentionPolicy.whenDeleted to Retain first",
        ));
    }
    observed
}

/// Sees an object that may differ from what is wanted of it.
fn see_compared(
    key: Key,
    (mut observed, object): (Observed, Value),
    wanted: &Object,
    listed: &mut Listed,
) {
    let Key::Object(name) = &key else { return };
    let kind = name.kind;
    let want = wanted.manifest.to_value();
    let comparison = owned::compare(&want, &object, FIELD_MANAGER);
    observed.foreign = owned::foreign_items(&want, &object, FIELD_MANAGER)
        .into_iter()
        .map(|item| item.path.to_string())
        .collect();
    let is_ours = observed.owner.is_some() && observed.owner == wanted.ownership;
    match comparison {
        Comparison::Terminating => {}
        _ if !is_ours || observed.terminating => {}
        Comparison::Equal if !owned::needs_take_over(&object, FIELD_MANAGER) => {}
        Comparison::Different(differences) => {
            observed.changes = changes(&differences);
            let refused = differences
                .listed()
                .iter()
                .find(|difference| owned::is_refused(kind.as_str(), difference, &object));
            if let Some(field) = refused {
                observed.verdict = Verdict::Refused(cannot_change(kind, &field.path().to_string()));
            } else {
                let question = Question::new(name.clone(), observed, object);
                listed.questions.push(question.about(&differences));
                return;
            }
        }
        Comparison::Equal | Comparison::NothingOwned | Comparison::OtherVersion(_) => {
            listed
                .questions
                .push(Question::new(name.clone(), observed, object));
            return;
        }
    }
    listed.seen.push((key, Seen::Object(Box::new(observed))));
}

fn cannot_change(kind: Kind, field: &str) -> Why {
    let remedy = match kind {
        Kind::StatefulSet => {
            "change it back, or delete the StatefulSet with --cascade=orphan so that the next apply makes it anew"
        }
        Kind::PersistentVolumeClaim => {
            "a claim can only grow, and only while it is bound; change it back"
        }
        _ => "change it back, or delete the object so that the next apply makes it anew",
    };
    Why(format!("{field} cannot be changed in place: {remedy}"))
}

fn missing_keys(
    place: &Place<'_>,
    desired: &Desired,
    live: &mut Live,
    questions: &[Question],
) -> Vec<ObjectKey> {
    let asked: BTreeSet<&ObjectKey> = questions.iter().map(Question::key).collect();
    let mut missing = Vec::new();
    for (known, wanted) in &desired.items {
        let Some(key) = known.object().filter(|key| is_at(place, key)) else {
            continue;
        };
        if live.seen.contains_key(known) || asked.contains(key) {
            continue;
        }
        let known = known.clone();
        match live.partial.get(&(place.cluster.clone(), key.kind)) {
            Some(why) => {
                live.seen.insert(known, Seen::Unknown(why.clone()));
            }
            // What is kept right where it exists, and not made, need not be asked about.
            None if wanted.presence == Presence::IfPresent => {
                let verdict = Verdict::NotAsked(Why::from("it is not made while it is missing"));
                live.seen.insert(known, Seen::Absent { verdict });
            }
            None => missing.push(key.clone()),
        }
    }
    missing
}

/// Returns the claims of databases whose Secret is missing, as far as no list showed them. A StatefulSet takes
/// a claim by its name alone, so one that lost its labels, or came from a backup without them, counts too
/// before a password is made.
fn unlisted_claims(missing: &[ObjectKey], desired: &Desired, live: &Live) -> Vec<ObjectKey> {
    let claim = |key: &ObjectKey| {
        let Item::Generated(generated) = &desired.items[&Key::Object(key.clone())].item else {
            return None;
        };
        let Recipe::Postgres { claim, .. } = &generated.recipe else {
            return None;
        };
        let kind = Kind::PersistentVolumeClaim;
        let claim = ObjectKey {
            kind,
            name: claim.clone(),
            ..key.clone()
        };
        let is_unlisted = !live.seen.contains_key(&Key::Object(claim.clone()))
            && !live.partial.contains_key(&(key.cluster.clone(), kind));
        is_unlisted.then_some(claim)
    };
    missing.iter().filter_map(claim).collect()
}

async fn see_claim(reader: &dyn ClusterRead, key: ObjectKey) -> Option<(Key, Seen)> {
    let seen = match reader.get(&key).await {
        Ok(object) => Seen::Object(Box::new(reduce(key.kind, &object?))),
        Err(error) => Seen::Unknown(Why(error.to_string())),
    };
    Some((Key::Object(key), seen))
}

/// What is known of a place's namespace.
enum Namespace {
    There,
    Missing(Key),
}

/// Asks for the namespace only where nothing of ours was found in it, so that a pass over a world that is
/// there sends lists alone. Where the rights do not reach that far the namespace is there: the role that
/// lets us list lives in it.
async fn see_namespace(
    reader: &dyn ClusterRead,
    place: &Place<'_>,
    desired: &Desired,
    live: &mut Live,
) -> Namespace {
    let is_namespace = |key: &&ObjectKey| {
        key.cluster == place.cluster && key.kind == Kind::Namespace && key.name == place.namespace
    };
    let Some(key) = desired
        .items
        .keys()
        .filter_map(Key::object)
        .find(is_namespace)
    else {
        return Namespace::There;
    };
    let found_any = live.seen.iter().any(|(seen, state)| {
        seen.object().is_some_and(|seen| is_at(place, seen)) && matches!(state, Seen::Object(_))
    });
    let known = Key::Object(key.clone());
    let there = |observed| Seen::Object(Box::new(observed));
    let (seen, answer) = if found_any {
        (
            there(reduce(Kind::Namespace, &Value::Null)),
            Namespace::There,
        )
    } else {
        match reader.get(key).await {
            Ok(Some(object)) => (there(reduce(Kind::Namespace, &object)), Namespace::There),
            Ok(None) => (
                Seen::Absent {
                    verdict: Verdict::Accepted,
                },
                Namespace::Missing(known.clone()),
            ),
            Err(ClusterError::Forbidden(_)) => (
                there(reduce(Kind::Namespace, &Value::Null)),
                Namespace::There,
            ),
            Err(error) => (Seen::Unknown(Why(error.to_string())), Namespace::There),
        }
    };
    live.seen.insert(known, seen);
    answer
}

/// Asks about a wanted object that no list showed: it is missing, or it is there without our labels.
async fn ask_about_missing(reader: &dyn ClusterRead, key: &ObjectKey, item: &Item) -> Seen {
    let Item::Object(object) = item else {
        return match reader.get(key).await {
            Ok(Some(object)) => Seen::Object(Box::new(reduce(key.kind, &object))),
            Ok(None) => Seen::Absent {
                verdict: Verdict::NotAsked(Why::from("it is made once, with new content")),
            },
            Err(error) => Seen::Unknown(Why(error.to_string())),
        };
    };
    match reader.dry_run(key, &object.manifest.to_value()).await {
        // Only an object that is stored has a version.
        Ok(stored)
            if stored["metadata"]["resourceVersion"]
                .as_str()
                .is_some_and(|version| !version.is_empty()) =>
        {
            match reader.get(key).await {
                Ok(Some(object)) => Seen::Object(Box::new(reduce(key.kind, &object))),
                Ok(None) => Seen::Unknown(Why::from("it came and went while it was looked at")),
                Err(error) => Seen::Unknown(Why(error.to_string())),
            }
        }
        Ok(_) => Seen::Absent {
            verdict: Verdict::Accepted,
        },
        Err(error) => match verdict(error) {
            // A stranger of that name may be what does not fit.
            Ok(Verdict::Refused(why)) => match reader.get(key).await {
                Ok(Some(object)) => Seen::Object(Box::new(reduce(key.kind, &object))),
                Ok(None) => Seen::Absent {
                    verdict: Verdict::Refused(why),
                },
                Err(error) => Seen::Unknown(Why(error.to_string())),
            },
            Ok(verdict) => Seen::Absent { verdict },
            Err(why) => Seen::Unknown(why),
        },
    }
}

/// Returns the kinds that every place is asked for.
pub fn always_listed() -> impl Iterator<Item = Kind> {
    let is_listed = |kind: &Kind| !matches!(kind, Kind::Namespace | Kind::ScaledObject);
    Kind::ALL.into_iter().filter(is_listed)
}

/// Groups wanted keys into places: every cluster and namespace that something is wanted in, and the home one.
#[must_use]
pub fn places<'a>(
    desired: &Desired,
    home: &ClusterName,
    look: &Look<'a>,
    with_keda: bool,
    reader: impl Fn(&ClusterName) -> Result<Arc<dyn ClusterRead>, Why>,
) -> Vec<Place<'a>> {
    let mut found: BTreeMap<(ClusterName, String), BTreeSet<Kind>> = BTreeMap::new();
    let listed: BTreeSet<Kind> = always_listed()
        .chain(with_keda.then_some(Kind::ScaledObject))
        .collect();
    found.insert((home.clone(), look.namespace.to_owned()), listed.clone());
    for key in desired
        .items
        .keys()
        .filter_map(Key::object)
        .filter(|key| key.kind != Kind::Namespace)
    {
        let place = (key.cluster.clone(), key.namespace.clone());
        found
            .entry(place)
            .or_insert_with(|| listed.clone())
            .insert(key.kind);
    }
    let place = |((cluster, namespace), kinds): ((ClusterName, String), _)| Place {
        reader: reader(&cluster),
        cluster,
        namespace,
        kinds,
        scope: look.scope.clone(),
        depth: look.depth,
    };
    found.into_iter().map(place).collect()
}
