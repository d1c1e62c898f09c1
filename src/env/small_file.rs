//! One small file that is either old or new, never half: checksummed, written aside, synced,
//! renamed.
//!
//! For what must survive and must not be believed when damaged: the node's id and secret, a
//! promise. The content is a magic number, a version, the length, the bytes and a CRC-32C of
//! all of it.
