//! The keys that the gossip is sealed with: AES-GCM with keys of 16, 24 or 32 bytes.
//!
//! One key seals; every key of the ring opens. Sealed text is `key 1 | nonce 12 | text | tag 16`
//! and is bound to what goes before it on the wire. A nonce is eight random bytes of this start
//! of the agent and a counter, so that none repeats however many agents share a key.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aes_gcm::aead::{AeadInPlace, KeyInit, consts::U12};
use aes_gcm::aes::{Aes128, Aes192, Aes256};
use aes_gcm::{AesGcm, Nonce, Tag};
use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::env::Entropy;

/// Key id, nonce and tag.
pub(super) const SEAL: usize = 1 + NONCE + TAG;
const NONCE: usize = 12;
const TAG: usize = 16;

/// The most keys of one ring.
const KEYS_MAX: usize = 16;

/// Traffic that no key opens is told at most so often.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Why a key was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the key is not base64: {0}")]
    Base64(String),
    #[error("a key has 16, 24 or 32 bytes, this one {0}")]
    Length(usize),
    #[error("the gossip is not encrypted: set `encrypt` in every agent's server block first")]
    NotEncrypted,
    #[error("the key is not in the keyring: install it first")]
    NotInstalled,
    #[error("the key is in use: use another one first")]
    InUse,
    #[error("the keyring holds {KEYS_MAX} keys already: remove one first")]
    Full,
}

/// One key.
#[derive(Clone)]
pub struct Key {
    bytes: Vec<u8>,
    cipher: Arc<Cipher>,
}

enum Cipher {
    Aes128(AesGcm<Aes128, U12>),
    Aes192(AesGcm<Aes192, U12>),
    Aes256(AesGcm<Aes256, U12>),
}

impl Key {
    /// Reads a key as `encrypt` has it.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let bytes = BASE64_STANDARD
            .decode(text.trim())
            .map_err(|e| KeyError::Base64(e.to_string()))?;
        Self::new(bytes)
    }

    pub fn new(bytes: Vec<u8>) -> Result<Self, KeyError> {
        let length = |_| KeyError::Length(bytes.len());
        let cipher = match bytes.len() {
            16 => Cipher::Aes128(AesGcm::new_from_slice(&bytes).map_err(length)?),
            24 => Cipher::Aes192(AesGcm::new_from_slice(&bytes).map_err(length)?),
            32 => Cipher::Aes256(AesGcm::new_from_slice(&bytes).map_err(length)?),
            other => return Err(KeyError::Length(other)),
        };
        Ok(Self {
            bytes,
            cipher: Arc::new(cipher),
        })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// As `encrypt` has it.
    pub fn text(&self) -> String {
        BASE64_STANDARD.encode(&self.bytes)
    }

    /// What others find it by; says nothing about the key.
    fn id(&self) -> u8 {
        Sha256::digest(&self.bytes)[0]
    }

    fn encrypt(&self, nonce: &[u8; NONCE], bound: &[u8], text: &mut [u8]) -> Option<Tag> {
        let nonce = Nonce::from_slice(nonce);
        match &*self.cipher {
            Cipher::Aes128(c) => c.encrypt_in_place_detached(nonce, bound, text),
            Cipher::Aes192(c) => c.encrypt_in_place_detached(nonce, bound, text),
            Cipher::Aes256(c) => c.encrypt_in_place_detached(nonce, bound, text),
        }
        .ok()
    }

    fn decrypt(&self, nonce: &[u8], bound: &[u8], text: &mut [u8], tag: &[u8]) -> bool {
        let (nonce, tag) = (Nonce::from_slice(nonce), Tag::from_slice(tag));
        match &*self.cipher {
            Cipher::Aes128(c) => c.decrypt_in_place_detached(nonce, bound, text, tag),
            Cipher::Aes192(c) => c.decrypt_in_place_detached(nonce, bound, text, tag),
            Cipher::Aes256(c) => c.decrypt_in_place_detached(nonce, bound, text, tag),
        }
        .is_ok()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Key {}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({} bytes)", self.bytes.len())
    }
}

/// The ring. Cloning shares it. Without a key nothing is sealed.
#[derive(Clone)]
pub struct Keyring {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    /// The first one seals.
    keys: Vec<Key>,
    entropy: Arc<dyn Entropy>,
    prefix: [u8; 8],
    counter: u32,
    told_at: Option<Instant>,
}

impl Keyring {
    /// A ring of `keys`, the first of which seals.
    pub fn new(keys: Vec<Key>, entropy: Arc<dyn Entropy>) -> Self {
        let mut prefix = [0; 8];
        entropy.fill(&mut prefix);
        let inner = Inner {
            keys,
            entropy,
            prefix,
            counter: 0,
            told_at: None,
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// Every key, the one that seals first.
    pub fn keys(&self) -> Vec<Key> {
        self.lock().keys.clone()
    }

    /// Whether traffic is sealed.
    pub fn seals(&self) -> bool {
        !self.lock().keys.is_empty()
    }

    /// Adds a key that opens.
    pub fn install(&self, key: Key) -> Result<(), KeyError> {
        let mut inner = self.lock();
        if inner.keys.is_empty() {
            return Err(KeyError::NotEncrypted);
        }
        if inner.keys.contains(&key) {
            return Ok(());
        }
        if inner.keys.len() >= KEYS_MAX {
            return Err(KeyError::Full);
        }
        inner.keys.push(key);
        Ok(())
    }

    /// Makes an installed key the one that seals.
    pub fn use_key(&self, key: &Key) -> Result<(), KeyError> {
        let mut inner = self.lock();
        if inner.keys.is_empty() {
            return Err(KeyError::NotEncrypted);
        }
        let at = inner.keys.iter().position(|k| k == key);
        let key = inner.keys.remove(at.ok_or(KeyError::NotInstalled)?);
        inner.keys.insert(0, key);
        Ok(())
    }

    /// Forgets a key that does not seal; one that is not there is gone already.
    pub fn remove(&self, key: &Key) -> Result<(), KeyError> {
        let mut inner = self.lock();
        match inner.keys.iter().position(|k| k == key) {
            _ if inner.keys.is_empty() => Err(KeyError::NotEncrypted),
            Some(0) => Err(KeyError::InUse),
            Some(at) => {
                inner.keys.remove(at);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The sealed text, bound to `bound`; `None` without a key.
    pub(super) fn seal(&self, bound: &[u8], text: &[u8]) -> Option<Vec<u8>> {
        let mut inner = self.lock();
        let nonce = inner.nonce();
        let key = inner.keys.first()?;
        let mut sealed = Vec::with_capacity(SEAL + text.len());
        sealed.push(key.id());
        sealed.extend(nonce);
        sealed.extend(text);
        let tag = key.encrypt(&nonce, bound, &mut sealed[1 + NONCE..])?;
        sealed.extend(tag);
        Some(sealed)
    }

    /// The text of what a key of ours sealed with the same `bound`.
    pub(super) fn open(&self, bound: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (id, rest) = sealed.split_first()?;
        let (nonce, rest) = rest.split_at_checked(NONCE)?;
        let (text, tag) = rest.split_at_checked(rest.len().checked_sub(TAG)?)?;
        let inner = self.lock();
        let mut those = inner.keys.iter().filter(|key| key.id() == *id);
        those.find_map(|key| {
            let mut text = text.to_vec();
            key.decrypt(nonce, bound, &mut text, tag).then_some(text)
        })
    }

    /// Says, at most once a minute, that somebody is not understood.
    pub(super) fn not_heard(&self, from: SocketAddr, now: Instant) {
        let mut inner = self.lock();
        let recently = |at: Instant| now.saturating_duration_since(at) < TELL_EVERY;
        if inner.told_at.is_some_and(recently) {
            return;
        }
        inner.told_at = Some(now);
        let sealed = !inner.keys.is_empty();
        tracing::warn!(
            target: "gossip", %from, encrypted_here = sealed,
            "an agent is not heard: its `encrypt` key is not ours (told once a minute)"
        );
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No change leaves the ring half made.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn nonce(&mut self) -> [u8; NONCE] {
        if self.counter == u32::MAX {
            self.counter = 0;
            self.entropy.fill(&mut self.prefix);
        }
        self.counter += 1;
        let mut nonce = [0; NONCE];
        nonce[..8].copy_from_slice(&self.prefix);
        nonce[8..].copy_from_slice(&self.counter.to_le_bytes());
        nonce
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;

    fn key(length: usize, fill: u8) -> Key {
        Key::new(vec![fill; length]).unwrap()
    }

    fn ring(keys: Vec<Key>) -> Keyring {
        Keyring::new(keys, Env::sim(1).entropy)
    }

    #[test]
    fn what_one_key_seals_only_that_key_opens() {
        for length in [16, 24, 32] {
            let ours = ring(vec![key(length, 1)]);
            let sealed = ours.seal(b"head", b"text").unwrap();
            assert_eq!(sealed.len(), SEAL + 4);
            assert_eq!(ours.open(b"head", &sealed).unwrap(), b"text");
            assert_ne!(
                sealed,
                ours.seal(b"head", b"text").unwrap(),
                "a nonce repeats"
            );
            assert_eq!(ours.open(b"heat", &sealed), None);
            assert_eq!(ring(vec![key(length, 2)]).open(b"head", &sealed), None);
            assert_eq!(ring(Vec::new()).open(b"head", &sealed), None);
            for at in 0..sealed.len() {
                let mut broken = sealed.clone();
                broken[at] ^= 1;
                assert_eq!(ours.open(b"head", &broken), None, "byte {at}");
                assert_eq!(ours.open(b"head", &sealed[..at]), None, "{at} bytes");
            }
        }
        assert_eq!(ring(Vec::new()).seal(b"", b"text"), None);
    }

    #[test]
    fn a_key_is_changed_in_three_steps() {
        let (old, new) = (key(16, 1), key(32, 2));
        let (one, two) = (ring(vec![old.clone()]), ring(vec![old.clone()]));
        let heard = |from: &Keyring, to: &Keyring| {
            let sealed = from.seal(b"", b"x").unwrap();
            to.open(b"", &sealed).is_some()
        };
        assert_eq!(one.use_key(&new), Err(KeyError::NotInstalled));
        one.install(new.clone()).unwrap();
        two.install(new.clone()).unwrap();
        one.use_key(&new).unwrap();
        assert!(heard(&one, &two) && heard(&two, &one));
        assert_eq!(one.remove(&new), Err(KeyError::InUse));
        two.use_key(&new).unwrap();
        one.remove(&old).unwrap();
        one.remove(&old).unwrap();
        assert!(heard(&two, &one));
        assert_eq!(one.keys(), [new]);
        assert_eq!(ring(Vec::new()).install(old), Err(KeyError::NotEncrypted));
    }

    #[test]
    fn a_key_has_one_of_three_lengths() {
        let fails = |text: &str| Key::parse(text).unwrap_err().to_string();
        assert!(fails("abc").starts_with("the key is not base64"));
        assert_eq!(fails("AAAA"), "a key has 16, 24 or 32 bytes, this one 3");
        let text = "MoSbiodG1DObCdjPvHXLdpao68/7vXz50y5g0M4TBmM=";
        assert_eq!(Key::parse(text).unwrap().text(), text);
    }
}
