//! The Secret with the tokens of all challenges.

use super::world::agreeing;
use super::*;
use crate::model::{Derived, names};

/// What a plan does to the Secret: the keys it has then, and those that are copied anew.
type Done = Option<(Vec<String>, Vec<String>)>;

fn done(plan: &Plan) -> Done {
    let key = Key::Object(object(Kind::Secret, names::CHALLENGE_TOKENS));
    let step = plan.steps.iter().find(|step| step.key == key)?;
    assert_eq!(step.wave, order::AFTER_ALL);
    let (Action::Create(Item::Derived(derived))
    | Action::Update {
        new: Item::Derived(derived),
        ..
    }) = &step.action
    else {
        panic!("{:?}", step.action);
    };
    let Derived { keys, copies, .. } = derived;
    Some((
        keys.iter().map(ToString::to_string).collect(),
        copies.keys().map(ToString::to_string).collect(),
    ))
}

fn some(keys: &[&str], copies: &[&str]) -> Done {
    let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    Some((owned(keys), owned(copies)))
}

fn secret<'a>(live: &'a mut Live, name: &str) -> &'a mut Seen {
    let key = Key::Object(object(Kind::Secret, name));
    live.seen.get_mut(&key).unwrap()
}

fn contents_of<'a>(live: &'a mut Live, name: &str) -> &'a mut Contents {
    match secret(live, name) {
        Seen::Object(observed) => observed.contents.as_mut().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_follows_the_declaration_and_drafts_have_no_part_in_it() {
    let one = desired([challenge("aa")]);
    let draft = Challenge {
        status: Status::Draft,
        ..challenge("cc")
    };
    let three = desired([challenge("aa"), challenge("bb"), draft]);
    let none = desired([]);
    let between =
        |before: &Desired, after: &Desired| done(&plan(after, &agreeing(before, after), &[]));
    assert_eq!(between(&none, &none), None);
    assert_eq!(between(&one, &one), None);
    assert_eq!(between(&one, &three), some(&["aa", "bb"], &["bb"]));
    assert_eq!(between(&three, &one), some(&["aa"], &[]));
    assert_eq!(between(&three, &none), some(&[], &[]));
    let first = plan(&three, &agreeing(&Desired::default(), &three), &[]);
    assert_eq!(done(&first), some(&["aa", "bb"], &["aa", "bb"]));
}

#[test]
fn a_token_that_could_not_be_read_keeps_its_key() {
    let wanted = desired([challenge("aa"), challenge("bb")]);
    let unreadable: [fn(&mut Live); 4] = [
        |live| *secret(live, "challenge-aa-secrets") = Seen::Unknown(Why::from("cut")),
        |live| contents_of(live, "challenge-aa-secrets").tokens = None,
        |live| match secret(live, "challenge-aa-secrets") {
            Seen::Object(observed) => observed.owner = None,
            other => panic!("{other:?}"),
        },
        |live| {
            live.seen
                .remove(&Key::Object(object(Kind::Secret, "challenge-aa-secrets")));
            let place = (ClusterName::Local, Kind::Secret);
            live.partial.insert(place, Why::from("cut"));
        },
    ];
    for disturb in unreadable {
        let mut live = agreeing(&wanted, &wanted);
        disturb(&mut live);
        assert_eq!(done(&plan(&wanted, &live, &[])), None);
        // What else there is to do is done.
        contents_of(&mut live, names::CHALLENGE_TOKENS)
            .hashes
            .remove("bb");
        let found = done(&plan(&wanted, &live, &[]));
        assert_eq!(found, some(&["aa", "bb"], &["bb"]));
    }
}

#[test]
fn another_token_is_copied_and_what_others_put_there_goes() {
    let wanted = desired([challenge("aa"), challenge("bb")]);
    let mut live = agreeing(&wanted, &wanted);
    let hashes = &mut contents_of(&mut live, names::CHALLENGE_TOKENS).hashes;
    hashes.insert("aa".to_owned(), "0".repeat(64));
    assert_eq!(
        done(&plan(&wanted, &live, &[])),
        some(&["aa", "bb"], &["aa"])
    );
    let mut live = agreeing(&wanted, &wanted);
    let keys = &mut contents_of(&mut live, names::CHALLENGE_TOKENS).keys;
    keys.insert("stranger".to_owned());
    assert_eq!(done(&plan(&wanted, &live, &[])), some(&["aa", "bb"], &[]));
}

#[test]
fn a_secret_of_that_name_that_is_not_ours_is_left_alone() {
    let wanted = desired([challenge("aa")]);
    let mut live = agreeing(&wanted, &wanted);
    contents_of(&mut live, names::CHALLENGE_TOKENS)
        .hashes
        .clear();
    if let Seen::Object(observed) = secret(&mut live, names::CHALLENGE_TOKENS) {
        observed.owner = None;
    }
    let plan = plan(&wanted, &live, &[]);
    assert_eq!(done(&plan), None);
    let is_foreign = |held: &Held| matches!(held, Held::Foreign { slug: None, .. });
    assert!(plan.held.iter().any(is_foreign), "{:?}", plan.held);
}
