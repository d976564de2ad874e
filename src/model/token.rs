//! What may be kept of a token: its hash, and a hint that lets people tell two apart.

use sha2::{Digest as _, Sha256};

/// Returns the lower-case hex SHA-256 of a token's text.
#[must_use]
pub fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

/// Returns the first and last four characters around `…`, or `****` for a token of eight or fewer.
#[must_use]
pub fn hint(token: &str) -> String {
    let characters: Vec<char> = token.chars().collect();
    match characters.as_slice() {
        [first @ .., _, _, _, _] if first.len() > 4 => {
            let head: String = characters[..4].iter().collect();
            let tail: String = characters[characters.len() - 4..].iter().collect();
            format!("{head}…{tail}")
        }
        _ => "****".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hint_shows_the_ends_of_long_tokens_only() {
        assert_eq!(hint("abcdefghi"), "abcd…fghi");
        assert_eq!(hint("abcdefgh"), "****");
        assert_eq!(hint(""), "****");
        assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
