//! Any bytes as a challenge's answer: read, the same each time and all finite, or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use platform::model::Slug;
use platform::weights::scores::parse_reply;

fuzz_target!(|bytes: &[u8]| {
    let slug = Slug::parse("prism").expect("a slug");
    let reply = parse_reply(bytes, &slug);
    assert!(reply == parse_reply(bytes, &slug), "the same input, another result");
    if let Ok(reply) = reply {
        let hotkeys: Vec<&str> = reply.scores.iter().map(|(hotkey, _)| hotkey).collect();
        assert!(hotkeys.is_sorted_by(|one, next| one < next));
        assert!(reply.scores.iter().all(|(_, score)| score.is_finite()));
    }
});
