//! The key that signs the log: Ed25519 (RFC 8032), the operator's own or one that is made with the log.
//!
//! Whoever can write the log and has this key can write another log. Who wants to be safe from the server's own machine
//! keeps the signed heads elsewhere: `lictor audit verify --head`.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use lictor_model::hex;
use ring::{
    rand::SystemRandom,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};

use super::chain::{self, Hash};
use crate::error::{Error, ErrorKind};

/// The key of a log whose operator names no other.
const PRIVATE: &str = "key.pem";
/// Its public half, in hexadecimal digits.
const PUBLIC: &str = "key.pub";
/// Bytes of a public key.
const PUBLIC_LEN: usize = 32;

/// What a log is signed with.
pub(super) struct SigningKey {
    pair: Ed25519KeyPair,
}

/// What a log's signatures are checked with.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey([u8; PUBLIC_LEN]);

impl SigningKey {
    /// The operator's key, or that in the log's folder, which is made if it is not there.
    pub(super) fn open(folder: &Path, given: Option<&Path>) -> Result<Self, Error> {
        let own = folder.join(PRIVATE);
        let path = given.unwrap_or(&own);
        let unusable = |why: String| {
            let why = format!("the key of the decision log, `{}`, cannot be used: {why}", path.display());
            Error::new(ErrorKind::InvalidInput, why)
        };
        if given.is_none() && !own.exists() {
            make(&own).map_err(|error| unusable(error.to_string()))?;
        }
        let key = PrivatePkcs8KeyDer::from_pem_file(path).map_err(|error| unusable(format!("{error:?}")))?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_pkcs8_der());
        let pair = pair.map_err(|error| unusable(format!("it is no Ed25519 key in PKCS #8: {error}")))?;
        let key = Self { pair };
        let public = folder.join(PUBLIC);
        // For whoever checks the log and may not read the key. A disk that is full leaves it as it is.
        let text = format!("{}\n", key.public().to_hex());
        if std::fs::read_to_string(&public).ok().as_ref() != Some(&text) {
            std::fs::write(&public, text).map_err(|error| unusable(error.to_string()))?;
        }
        Ok(key)
    }

    pub(super) fn public(&self) -> PublicKey {
        PublicKey(self.pair.public_key().as_ref().first_chunk().copied().unwrap_or_default())
    }

    /// The signature over where a log stands.
    pub(super) fn sign(&self, log: &str, n: u64, hash: &Hash) -> String {
        hex::encode(self.pair.sign(statement(log, n, hash).as_bytes()).as_ref())
    }
}

/// What is signed: that record `n` of this log has this hash.
fn statement(log: &str, n: u64, hash: &Hash) -> String {
    format!("lictor decision log {log} record {n} sha256 {}", chain::text(hash))
}

/// Makes a key that only its owner can read.
fn make(path: &Path) -> io::Result<()> {
    let failed = |_| io::Error::other("no key could be made");
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(failed)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(pem(document.as_ref()).as_bytes())?;
    file.sync_all()
}

/// A private key as PEM (RFC 7468).
fn pem(der: &[u8]) -> String {
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}

impl PublicKey {
    /// From its hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        hex::decode(text.trim())?.try_into().ok().map(Self)
    }

    /// Its hexadecimal digits.
    pub fn to_hex(&self) -> String {
        hex::encode(&self.0)
    }

    /// Whether `signature` is over this place of that log.
    pub fn signed(&self, log: &str, n: u64, hash: &Hash, signature: &str) -> bool {
        let signature = hex::decode(signature).unwrap_or_default();
        UnparsedPublicKey::new(&ED25519, &self.0).verify(statement(log, n, hash).as_bytes(), &signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_signed_is_one_place_of_one_log() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::open(folder.path(), None).unwrap();
        let mode = std::fs::metadata(folder.path().join(PRIVATE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let hash = chain::hash(&chain::NOTHING, b"a");
        let signature = key.sign("log", 7, &hash);
        let public = std::fs::read_to_string(folder.path().join(PUBLIC)).unwrap();
        let public = PublicKey::parse(&public).unwrap();
        assert!(public.signed("log", 7, &hash, &signature));
        assert!(!public.signed("log", 8, &hash, &signature));
        assert!(!public.signed("gol", 7, &hash, &signature));
        assert!(!public.signed("log", 7, &chain::NOTHING, &signature));
        assert!(!public.signed("log", 7, &hash, "00"));
        // Opened again, it is the same.
        assert!(SigningKey::open(folder.path(), None).unwrap().public() == public);
        let given = folder.path().join(PRIVATE);
        assert!(SigningKey::open(folder.path(), Some(&given)).unwrap().public() == public);
        std::fs::write(&given, "no key").unwrap();
        let refused = SigningKey::open(folder.path(), None).err().unwrap();
        assert!(refused.message().contains("key.pem"), "{}", refused.message());
    }
}
