//! Random tokens and the key that signs service-account tokens.

use anyhow::{Result, anyhow};
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    rand::{SecureRandom, SystemRandom},
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};

/// What precedes an uncompressed point in the public key format (RFC 5480) on P-256.
const P256_PUBLIC_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A signing key of service-account tokens, as PEM.
pub struct SigningKey {
    /// PKCS #8.
    pub private: String,
    /// SubjectPublicKeyInfo.
    pub public: String,
}

impl SigningKey {
    /// Makes a new P-256 key.
    ///
    /// # Errors
    ///
    /// Fails when the system has no randomness.
    pub fn generate() -> Result<Self> {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let private = EcdsaKeyPair::generate_pkcs8(algorithm, &random)
            .map_err(|_| anyhow!("make a signing key"))?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, private.as_ref(), &random)
            .map_err(|_| anyhow!("read the signing key"))?;
        let public = [&P256_PUBLIC_PREFIX[..], pair.public_key().as_ref()].concat();
        Ok(Self {
            private: render_pem("PRIVATE KEY", private.as_ref()),
            public: render_pem("PUBLIC KEY", &public),
        })
    }
}

/// Returns 128 random bits as hexadecimal digits.
///
/// # Errors
///
/// Fails when the system has no randomness.
pub fn random_token() -> Result<String> {
    Ok(random_bytes::<16>()?
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// Returns random bytes.
///
/// # Errors
///
/// Fails when the system has no randomness.
pub fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| anyhow!("read random bytes"))?;
    Ok(bytes)
}

/// Renders a line of the API server's token file: token, user, uid, groups.
pub fn render_token_line(token: &str, user: &str, group: &str) -> String {
    format!("{token},{user},{user},\"{group}\"\n")
}

fn render_pem(label: &str, bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_lines_are_64_wide() {
        let pem = render_pem("X", &[0xff; 60]);
        let lines: Vec<&str> = pem.lines().collect();
        assert_eq!(lines[0], "-----BEGIN X-----");
        assert_eq!(lines[1].len(), 64);
        assert_eq!(lines[2].len(), 16);
        assert_eq!(lines[3], "-----END X-----");
    }

    #[test]
    fn public_key_has_the_length_its_header_says() {
        let key = SigningKey::generate().unwrap();
        let body: String = key.public.lines().filter(|l| !l.starts_with('-')).collect();
        let bytes = STANDARD.decode(body).unwrap();
        assert_eq!(bytes.len(), 2 + usize::from(bytes[1]));
        assert_eq!(bytes[26], 4, "an uncompressed point");
    }

    #[test]
    fn tokens_differ() {
        let (one, other) = (random_token().unwrap(), random_token().unwrap());
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
    }

    #[test]
    fn token_line_quotes_the_groups() {
        assert_eq!(
            render_token_line("t0", "admin", "system:masters"),
            "t0,admin,admin,\"system:masters\"\n"
        );
    }
}
