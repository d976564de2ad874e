//! Addresses as they may be shown: a URL's password, token and secret parameters are masked.

/// Parameters of a URL whose value is masked, by a part of their name.
const SECRET_PARAMETERS: [&str; 5] = ["pass", "secret", "token", "key", "auth"];

/// Returns an address with its password, token and secret parameters as `***`.
///
/// Errs on the side of hiding: everything up to the last `@` counts as credentials, because a password
/// written without escapes may hold any character. A user name is kept when a password follows it, and
/// in addresses of a database; elsewhere a lone user name may be a token and is hidden.
#[must_use]
pub fn masked(address: &str) -> String {
    let (base, parameters) = split_parameters(address);
    let base = masked_credentials(base);
    match parameters {
        Some(parameters) => format!("{base}?{}", masked_parameters(parameters)),
        None => base,
    }
}

fn split_parameters(address: &str) -> (&str, Option<&str>) {
    let after_credentials = address.rfind('@').unwrap_or(0);
    let tail = address.get(after_credentials..).unwrap_or_default();
    match tail.find('?') {
        Some(at) => (
            &address[..after_credentials + at],
            Some(&address[after_credentials + at + 1..]),
        ),
        None => (address, None),
    }
}

fn masked_credentials(base: &str) -> String {
    let Some((scheme, rest)) = base.split_once("://") else {
        return base.to_owned();
    };
    let Some((credentials, host)) = rest.rsplit_once('@') else {
        return base.to_owned();
    };
    let shown = match credentials.split_once(':') {
        Some((user, _)) => format!("{user}:***"),
        None if scheme.starts_with("postgres") || scheme == "ssh" => credentials.to_owned(),
        None => "***".to_owned(),
    };
    format!("{scheme}://{shown}@{host}")
}

fn masked_parameters(parameters: &str) -> String {
    let mask = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}=***"),
        _ => pair.to_owned(),
    };
    parameters
        .split('&')
        .map(mask)
        .collect::<Vec<_>>()
        .join("&")
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_PARAMETERS.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_and_tokens_never_show() {
        for (address, shown) in [
            ("sqlite:platform.db", "sqlite:platform.db"),
            ("./platform.yaml", "./platform.yaml"),
            (
                "postgres://app:canary@db:5432/p",
                "postgres://app:***@db:5432/p",
            ),
            ("postgres://app@db/p", "postgres://app@db/p"),
            ("postgres://app:can/a?r#y@x@db/p", "postgres://app:***@db/p"),
            (
                "postgres://db/p?user=a&password=canary&sslmode=require",
                "postgres://db/p?user=a&password=***&sslmode=require",
            ),
            (
                "https://canary@git.example/repo#main",
                "https://***@git.example/repo#main",
            ),
            ("ssh://git@git.example/repo", "ssh://git@git.example/repo"),
        ] {
            assert_eq!(masked(address), shown, "{address}");
        }
    }
}
