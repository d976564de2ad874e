//! Signatures of published vectors: sr25519 over the bytes of a body, so that a validator can tell them from
//! what somebody puts in their place.

use schnorrkel::{ExpansionMode, Keypair, MiniSecretKey, PublicKey};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::model::{Secret, ss58};

/// What Substrate's tools sign and check with.
const CONTEXT: &[u8] = b"substrate";
/// What a signed text begins with, so that a signature is good for nothing else.
const PURPOSE: &str = "platform-weights-v1:";

/// A key that signs.
#[derive(Clone)]
pub struct SigningKey(Keypair);

/// A signature with who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The signer's address.
    pub signer: String,
    /// The signature: `0x` and 128 hex digits.
    pub text: String,
}

/// Why a text is no key. The text is not quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a signing key is 64 hex digits, with or without 0x before them")]
pub struct KeyError;

impl SigningKey {
    /// Reads a key: the 32 bytes of its seed in hex.
    ///
    /// # Errors
    /// The text is something else.
    pub fn parse(text: &Secret<String>) -> Result<Self, KeyError> {
        let text = text.expose().trim();
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let seed = hex::decode(digits).map_err(|_| KeyError)?;
        let secret = MiniSecretKey::from_bytes(&seed).map_err(|_| KeyError)?;
        Ok(Self(secret.expand_to_keypair(ExpansionMode::Ed25519)))
    }

    /// Returns the address that its signatures are checked against.
    #[must_use]
    pub fn address(&self) -> String {
        ss58::encode(&self.0.public.to_bytes())
    }

    /// Signs a body.
    #[must_use]
    pub fn sign(&self, body: &[u8]) -> Signature {
        let signature = self.0.sign_simple(CONTEXT, signed_text(body).as_bytes());
        Signature {
            signer: self.address(),
            text: format!("0x{}", hex::encode(signature.to_bytes())),
        }
    }
}

impl Signature {
    /// Tells whether its signer signed this body.
    #[must_use]
    pub fn is_of(&self, body: &[u8]) -> bool {
        let key = ss58::decode(&self.signer);
        let key = key.and_then(|key| PublicKey::from_bytes(&key).ok());
        let bytes = self.text.strip_prefix("0x").map(hex::decode);
        let (Some(key), Some(Ok(bytes))) = (key, bytes) else {
            return false;
        };
        let signature = schnorrkel::Signature::from_bytes(&bytes);
        signature.is_ok_and(|signature| {
            let text = signed_text(body);
            key.verify_simple(CONTEXT, text.as_bytes(), &signature)
                .is_ok()
        })
    }
}

fn signed_text(body: &[u8]) -> String {
    format!("{PURPOSE}{}", hex::encode(Sha256::digest(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Result<SigningKey, KeyError> {
        SigningKey::parse(&Secret::new(text.to_owned()))
    }

    /// Alice of every development chain.
    const ALICE: &str = "0xe5be9a5092b81bca64be81d212e7f2f9eba183bb7a90954f7b76361f6edb5c0a\n";

    #[test]
    fn a_seed_gives_the_address_that_other_tools_give_it() {
        let address = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
        assert_eq!(key(ALICE).unwrap().address(), address);
    }

    #[test]
    fn a_signature_is_of_its_body_and_its_signer_alone() {
        let signature = key(ALICE).unwrap().sign(b"body");
        assert_eq!(signature.text.len(), 2 + 128);
        assert!(signature.is_of(b"body"));
        assert!(!signature.is_of(b"bodY"));
        let other = key(&"1".repeat(64)).unwrap();
        let as_other = Signature {
            signer: other.address(),
            ..signature.clone()
        };
        assert!(!as_other.is_of(b"body"));
        for text in ["", "0x", "0x00", &"0".repeat(130)] {
            let broken = Signature {
                text: text.to_owned(),
                ..signature.clone()
            };
            assert!(!broken.is_of(b"body"), "{text}");
        }
    }

    #[test]
    fn what_is_no_seed_is_refused_without_being_quoted() {
        for bad in ["", "0x", "canary", &"1".repeat(63), &"1".repeat(66)] {
            assert!(key(bad).is_err_and(|error| !error.to_string().contains("canary")));
        }
    }
}
