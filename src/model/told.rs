//! What goes on failing is told once, and so is its end: a log that says the same every second hides what else it says.

use std::collections::BTreeSet;

/// Ways of failing that are kept apart. Words that are others each time would else be told for ever.
const MOST: usize = 16;

/// What was told of something that may go on failing.
#[derive(Debug, Default)]
pub struct Told(BTreeSet<String>);

impl Told {
    /// Tells whether a failure is news: it has not failed in this way since it last worked.
    pub fn is_news(&mut self, why: &str) -> bool {
        self.0.len() < MOST && self.0.insert(why.to_owned())
    }

    /// Notes that it works, and tells whether that is news.
    pub fn ends(&mut self) -> bool {
        !std::mem::take(&mut self.0).is_empty()
    }

    /// Tells whether it has failed in this way since it last worked.
    #[must_use]
    pub fn knows(&self, why: &str) -> bool {
        self.0.contains(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_failing_is_news_once_until_it_works() {
        let mut told = Told::default();
        assert!(!told.ends());
        assert!(told.is_news("no answer"));
        assert!(!told.is_news("no answer"));
        assert!(told.is_news("not allowed"));
        assert!(!told.is_news("no answer"));
        assert!(told.ends());
        assert!(!told.ends());
        assert!(told.is_news("no answer"));
    }

    #[test]
    fn words_that_are_others_each_time_come_to_an_end() {
        let mut told = Told::default();
        let is_news = |n: &usize| told.is_news(&format!("request {n} failed"));
        assert_eq!((0..1000).filter(is_news).count(), MOST);
        assert!(told.ends());
    }
}
