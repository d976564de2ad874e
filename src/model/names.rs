//! Names derived from a slug: stable in every release, cut with a hash when too long.

use sha1::{Digest as _, Sha1};

use super::Slug;

/// The longest name of an object that puts its name into a label itself (StatefulSet, CronJob): the
/// controllers append up to 11 characters to a label value limited to 63.
const WORKLOAD_LIMIT: usize = 52;
/// The longest DNS label.
const LABEL_LIMIT: usize = 63;

/// Returns the name of a challenge's workload, Service, autoscaler and NetworkPolicy.
#[must_use]
pub fn workload(slug: &Slug) -> String {
    derived("challenge-", slug, "", WORKLOAD_LIMIT)
}

/// Returns the name of a challenge's token Secret.
#[must_use]
pub fn token_secret(slug: &Slug) -> String {
    derived("challenge-", slug, "-secrets", LABEL_LIMIT)
}

/// Returns the name shared by a managed Postgres' Service, StatefulSet and NetworkPolicy.
#[must_use]
pub fn postgres(slug: &Slug) -> String {
    derived("challenge-", slug, "-postgres", WORKLOAD_LIMIT)
}

/// Returns the name of a managed Postgres' Secret.
#[must_use]
pub fn postgres_secret(slug: &Slug) -> String {
    derived("challenge-", slug, "-postgres-secret", LABEL_LIMIT)
}

/// Returns the name of a managed Postgres' claim template.
#[must_use]
pub fn postgres_claim_template(slug: &Slug) -> String {
    derived("challenge-", slug, "-postgres-data", LABEL_LIMIT)
}

/// Returns the name of the claim that a managed Postgres' StatefulSet makes.
#[must_use]
pub fn postgres_claim(slug: &Slug) -> String {
    format!("{}-{}-0", postgres_claim_template(slug), postgres(slug))
}

/// The Secret with the tokens of all challenges, each under its slug: what is allowed to ask challenges reads this
/// one name and no other Secret.
pub const CHALLENGE_TOKENS: &str = "platform-challenge-tokens";

/// The claim template of every challenge's `/data`.
pub const DATA_CLAIM_TEMPLATE: &str = "challenge-data";

/// Returns the name of a challenge's `/data` claim, the same in both modes so that switching keeps the data.
#[must_use]
pub fn data_claim(slug: &Slug) -> String {
    format!("{DATA_CLAIM_TEMPLATE}-{}-0", workload(slug))
}

/// Joins prefix, slug and suffix; a slug part that does not fit keeps its head and gets 8 hex digits
/// of the SHA-1 of the whole slug, so that prefix and suffix are never cut and names stay apart.
fn derived(prefix: &str, slug: &Slug, suffix: &str, limit: usize) -> String {
    let room = limit - prefix.len() - suffix.len();
    let slug = slug.as_str();
    if slug.len() <= room {
        return format!("{prefix}{slug}{suffix}");
    }
    let hash = hex::encode(Sha1::digest(slug.as_bytes()));
    let head = slug[..room - 9].trim_end_matches('-');
    format!("{prefix}{head}-{}{suffix}", &hash[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slug(text: &str) -> Slug {
        Slug::parse(text).unwrap()
    }

    #[test]
    fn names_that_fit_are_plain() {
        let demo = slug("demo");
        assert_eq!(workload(&demo), "challenge-demo");
        assert_eq!(token_secret(&demo), "challenge-demo-secrets");
        assert_eq!(postgres(&demo), "challenge-demo-postgres");
        assert_eq!(postgres_secret(&demo), "challenge-demo-postgres-secret");
        assert_eq!(data_claim(&demo), "challenge-data-challenge-demo-0");
        assert_eq!(
            postgres_claim(&demo),
            "challenge-demo-postgres-data-challenge-demo-postgres-0"
        );
    }

    #[test]
    fn long_slugs_keep_within_the_limits_and_apart() {
        for length in 2..=Slug::MAX {
            let a = slug(&"a".repeat(length));
            let b = slug(&format!("{}b", "a".repeat(length - 1)));
            assert!(
                workload(&a).len() <= 52 && postgres(&a).len() <= 52,
                "{length}"
            );
            for name in [
                token_secret(&a),
                postgres_secret(&a),
                postgres_claim_template(&a),
            ] {
                assert!(name.len() <= 63, "{name}");
            }
            assert_ne!(postgres(&a), postgres(&b), "{length}");
            assert_ne!(postgres_secret(&a), postgres_secret(&b), "{length}");
        }
        assert_eq!(
            postgres(&slug(&"a".repeat(33))),
            format!("challenge-{}-postgres", "a".repeat(33))
        );
        // SHA-1 of 34 times `a`, as any other program computes it.
        let cut = postgres(&slug(&"a".repeat(34)));
        assert_eq!(cut.len(), 52);
        assert!(cut.ends_with("-postgres"));
    }
}
