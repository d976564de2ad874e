//! Signatures by OpenPGP keys, and who may make them: the certificates that `gpg --export --armor` writes (RFC 9580).

use pgp::composed::{Deserializable as _, DetachedSignature, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    PublicKey, PublicSubkey, Signature, SignatureType, SignatureVersion, SubpacketData,
};
use pgp::types::{Fingerprint, KeyDetails as _, SignedUser, Tag, Timestamp};

use super::commit::Signed;
use super::{Fault, SignersError};

/// What begins a signature.
pub(super) const SIGNATURE: &[u8] = b"-----BEGIN PGP SIGNATURE-----";
const SIGNATURE_END: &str = "-----END PGP SIGNATURE-----";
/// What begins certificates.
const CERTIFICATES: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const PRIVATE: &str = "-----BEGIN PGP PRIVATE KEY BLOCK-----";
/// The most certificates of a file.
const MAX_CERTIFICATES: usize = 1_000;

/// Who may sign.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    certificates: Vec<Certificate>,
}

/// One person's key with its subkeys, as far as it has signed for them itself.
#[derive(Clone, Debug)]
struct Certificate {
    emails: Vec<String>,
    is_revoked: bool,
    keys: Vec<Key>,
}

#[derive(Clone, Debug)]
struct Key {
    key: Public,
    may_sign: bool,
    is_revoked: bool,
    /// From when on it holds, and until when, in seconds since 1970.
    from: i64,
    until: Option<i64>,
}

#[derive(Clone, Debug)]
enum Public {
    Primary(PublicKey),
    Sub(PublicSubkey),
}

impl Keyring {
    /// Parses a file of armoured certificates, one block behind the other.
    ///
    /// # Errors
    /// A block that is not understood, holds a private key, or certifies nobody who has an e-mail.
    pub fn parse(text: &str) -> Result<Self, SignersError> {
        let mut certificates = Vec::new();
        let refused = |at: usize, why| SignersError {
            line: text[..at].lines().count() + 1,
            why,
        };
        if let Some(at) = text.find(PRIVATE) {
            let why = "it holds a private key: export the public one, gpg --export --armor";
            return Err(refused(at, why));
        }
        for (at, _) in text.match_indices(CERTIFICATES) {
            let block = &text.as_bytes()[at..];
            let parsed = SignedPublicKey::from_armor_many_buf(block);
            let (parsed, _) =
                parsed.map_err(|_| refused(at, "it is no block of OpenPGP public keys"))?;
            for certificate in parsed {
                let certificate =
                    certificate.map_err(|_| refused(at, "an OpenPGP public key cannot be read"))?;
                let certificate = Certificate::of(certificate);
                if certificate.emails.is_empty() && !certificate.is_revoked {
                    return Err(refused(at, "an OpenPGP key has no user ID with an e-mail"));
                }
                certificates.push(certificate);
                if certificates.len() > MAX_CERTIFICATES {
                    return Err(refused(at, "there are too many keys"));
                }
            }
        }
        match certificates.is_empty() && !text.trim().is_empty() {
            true => Err(refused(0, "it holds no OpenPGP public keys in armour")),
            false => Ok(Self { certificates }),
        }
    }

    /// Tells whether nobody may sign.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    pub(super) fn check(&self, signed: &Signed) -> Result<(), Fault> {
        let signature = parse_signature(&signed.signature).ok_or(Fault::Unreadable)?;
        if signature.typ() != Some(SignatureType::Binary) {
            return Err(Fault::Namespace);
        }
        let made = signature.created().map(seconds).ok_or(Fault::Unreadable)?;
        let issuer = issuer(&signature).ok_or(Fault::Unreadable)?;
        let (certificate, key) = self.find(issuer).ok_or(Fault::UnknownKey)?;
        if certificate.is_revoked || key.is_revoked {
            return Err(Fault::RevokedKey);
        }
        let holds = key.from <= made && key.until.is_none_or(|until| made < until);
        let lasts = signature.signature_expiration_time().is_none();
        if !(key.may_sign && holds && lasts && certificate.emails.contains(&signed.email)) {
            return Err(Fault::NotForThis);
        }
        let verified = match &key.key {
            Public::Primary(key) => signature.verify(key, signed.payload.as_slice()),
            Public::Sub(key) => signature.verify(key, signed.payload.as_slice()),
        };
        verified.map_err(|_| Fault::Invalid)
    }

    fn find(&self, issuer: &Fingerprint) -> Option<(&Certificate, &Key)> {
        let keys = self.certificates.iter().flat_map(|certificate| {
            let keys = certificate.keys.iter();
            keys.map(move |key| (certificate, key))
        });
        let mut found = keys.filter(|(_, key)| key.fingerprint() == *issuer);
        found.next()
    }
}

impl Key {
    fn fingerprint(&self) -> Fingerprint {
        match &self.key {
            Public::Primary(key) => key.fingerprint(),
            Public::Sub(key) => key.fingerprint(),
        }
    }
}

impl Certificate {
    fn of(key: SignedPublicKey) -> Self {
        let SignedPublicKey {
            primary_key: primary,
            details,
            public_subkeys,
        } = key;
        let direct = details.direct_signatures.iter();
        let direct = direct.filter(|signature| signature.verify_key(&primary).is_ok());
        let users: Vec<_> = details.users.iter().collect();
        let users = users.into_iter().filter_map(|user| {
            let newest = certified(user, &primary)?;
            Some((user, newest))
        });
        let users: Vec<(&SignedUser, &Signature)> = users.collect();
        // What the key says of itself newest is what holds: when it ends, and what it is for.
        let newest = users.iter().map(|(_, signature)| *signature).chain(direct);
        let newest = newest.max_by_key(|signature| signature.created());
        let from = seconds(primary.created_at());
        let own = Key {
            may_sign: newest.is_some_and(|signature| signature.key_flags().sign()),
            is_revoked: false,
            from,
            until: newest.and_then(|signature| end(signature, from)),
            key: Public::Primary(primary.clone()),
        };
        let end_of_all = own.until;
        let subkeys = public_subkeys
            .iter()
            .filter_map(|subkey| bound(subkey, &primary, end_of_all));
        let mut revocations = details.revocation_signatures.iter();
        Self {
            emails: users.iter().filter_map(|(user, _)| email(user)).collect(),
            is_revoked: revocations.any(|signature| signature.verify_key(&primary).is_ok()),
            keys: std::iter::once(own).chain(subkeys).collect(),
        }
    }
}

/// Returns the newest signature by which a key stands for a user ID, if it does.
fn certified<'a>(user: &'a SignedUser, primary: &PublicKey) -> Option<&'a Signature> {
    let own = user.signatures.iter().filter(|signature| {
        let verified = signature.verify_certification(primary, Tag::UserId, &user.id);
        verified.is_ok()
    });
    // Of two at one time the revocation counts.
    let order = |signature: &&Signature| (signature.created(), is_user_revocation(signature));
    let newest = own.max_by_key(order)?;
    (!is_user_revocation(newest)).then_some(newest)
}

fn is_user_revocation(signature: &Signature) -> bool {
    signature.typ() == Some(SignatureType::CertRevocation)
}

/// Returns a subkey that its primary key has bound to itself.
fn bound(subkey: &SignedPublicSubKey, primary: &PublicKey, end_of_all: Option<i64>) -> Option<Key> {
    let SignedPublicSubKey { key, signatures } = subkey;
    let own = signatures
        .iter()
        .filter(|signature| signature.verify_subkey_binding(primary, key).is_ok());
    let (revocations, bindings): (Vec<_>, Vec<_>) =
        own.partition(|signature| signature.typ() == Some(SignatureType::SubkeyRevocation));
    let newest = bindings
        .into_iter()
        .max_by_key(|signature| signature.created())?;
    // Without the subkey's own word anybody could claim its signatures.
    let agrees = newest.embedded_signature().is_some_and(|signature| {
        let verified = signature.verify_primary_key_binding(key, primary);
        verified.is_ok()
    });
    let from = seconds(key.created_at());
    Some(Key {
        may_sign: newest.key_flags().sign() && agrees,
        is_revoked: !revocations.is_empty(),
        from,
        until: [end(newest, from), end_of_all].into_iter().flatten().min(),
        key: Public::Sub(key.clone()),
    })
}

/// Returns when a key ends by what a signature says of it; zero says never.
fn end(signature: &Signature, from: i64) -> Option<i64> {
    let span = signature.key_expiration_time()?.as_secs();
    (span > 0).then(|| from + i64::from(span))
}

/// Returns the e-mail of a user ID, `Name <e-mail>` or the e-mail alone.
fn email(user: &SignedUser) -> Option<String> {
    let text = user.id.as_str()?;
    let email = match text.rsplit_once('<') {
        Some((_, behind)) => behind.strip_suffix('>')?,
        None => text,
    };
    email.contains('@').then(|| email.to_owned())
}

fn seconds(time: Timestamp) -> i64 {
    time.as_secs().into()
}

/// Reads the one signature of an armour, by a hash that nobody can find two texts for.
fn parse_signature(armoured: &[u8]) -> Option<Signature> {
    let text = std::str::from_utf8(armoured).ok()?.trim_end();
    // The parser stops at the end of the first armour.
    if !text.ends_with(SIGNATURE_END) || text.matches("-----BEGIN").count() != 1 {
        return None;
    }
    let (mut signatures, _) = DetachedSignature::from_armor_many_buf(armoured).ok()?;
    let signature = signatures.next()?.ok()?.signature;
    if signatures.next().is_some() {
        return None;
    }
    let is_known = matches!(
        signature.version(),
        SignatureVersion::V4 | SignatureVersion::V6
    );
    let is_strong = matches!(
        signature.hash_alg(),
        Some(
            HashAlgorithm::Sha256
                | HashAlgorithm::Sha384
                | HashAlgorithm::Sha512
                | HashAlgorithm::Sha3_256
                | HashAlgorithm::Sha3_512
        )
    );
    (is_known && is_strong && is_understood(&signature)).then_some(signature)
}

/// Tells whether nothing is said that the one who signed wants to be understood, and is not.
fn is_understood(signature: &Signature) -> bool {
    let hashed = signature.config().map(|config| &config.hashed_subpackets);
    hashed.is_some_and(|hashed| {
        hashed
            .iter()
            .filter(|packet| packet.is_critical)
            .all(|packet| {
                !matches!(
                    packet.data,
                    SubpacketData::Notation(_)
                        | SubpacketData::Experimental(..)
                        | SubpacketData::Other(..)
                )
            })
    })
}

/// Returns by which key a signature says it was made. Signatures that name only half of a fingerprint are of
/// programs older than ten years.
fn issuer(signature: &Signature) -> Option<&Fingerprint> {
    match signature.issuer_fingerprint()[..] {
        [issuer] => Some(issuer),
        _ => None,
    }
}
