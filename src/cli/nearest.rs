//! A challenge that nobody knows: what was probably meant.

use std::collections::BTreeSet;

use super::CliError;
use crate::model::Slug;

/// Returns the error of a verb that was given a challenge that is neither declared nor known.
pub fn unknown(slug: &Slug, known: &BTreeSet<&str>) -> CliError {
    CliError::input(format!("no challenge {slug} is declared or known"))
        .hint(nearest(slug.as_str(), known))
}

/// Names what was probably meant: of the known names the three that are nearest.
pub fn nearest(wanted: &str, known: &BTreeSet<&str>) -> String {
    let mut near: Vec<(usize, &str)> = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(name, wanted), *name))
        .collect();
    near.sort_unstable();
    let names: Vec<&str> = near.into_iter().take(3).map(|(_, name)| name).collect();
    match names.is_empty() {
        true => "`platform status` lists the challenges there are".to_owned(),
        false => format!("did you mean {}?", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_come_first() {
        let known = BTreeSet::from(["prism", "prison", "agents", "bounty"]);
        assert_eq!(
            nearest("prsm", &known),
            "did you mean prism, prison, agents?"
        );
        assert!(nearest("prsm", &BTreeSet::new()).contains("platform status"));
    }
}
