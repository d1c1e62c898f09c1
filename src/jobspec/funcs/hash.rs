//! Digests and identifiers.

use sha2::{Digest, Sha256, Sha512};

use super::{Function, Kind, Param, failed, text};
use crate::jobspec::value::Value;

const STR: Param = Param("str", Kind::Text);

pub(super) static TABLE: &[Function] = &[
    Function {
        name: "md5",
        params: &[STR],
        rest: None,
        run: |a, _| Ok(Value::text(hex(&md5(text(&a[0]).as_bytes())))),
    },
    Function {
        name: "sha1",
        params: &[STR],
        rest: None,
        run: |a, _| Ok(Value::text(hex(&sha1(text(&a[0]).as_bytes())))),
    },
    Function {
        name: "sha256",
        params: &[STR],
        rest: None,
        run: |a, _| Ok(Value::text(hex(&Sha256::digest(text(&a[0]).as_bytes())))),
    },
    Function {
        name: "sha512",
        params: &[STR],
        rest: None,
        run: |a, _| Ok(Value::text(hex(&Sha512::digest(text(&a[0]).as_bytes())))),
    },
    Function {
        name: "uuidv4",
        params: &[],
        rest: None,
        run: |_, outside| outside.uuid().map_or_else(failed, |id| Ok(Value::text(id))),
    },
    Function {
        name: "uuidv5",
        params: &[Param("namespace", Kind::Text), Param("name", Kind::Text)],
        rest: None,
        run: |a, _| {
            let space = match text(&a[0]) {
                "dns" => uuid::Uuid::NAMESPACE_DNS,
                "url" => uuid::Uuid::NAMESPACE_URL,
                "oid" => uuid::Uuid::NAMESPACE_OID,
                "x500" => uuid::Uuid::NAMESPACE_X500,
                other => match uuid::Uuid::parse_str(other) {
                    Ok(id) => id,
                    Err(error) => {
                        return failed(format!(
                            "uuidv5() doesn't support namespace {other} ({error})"
                        ));
                    }
                },
            };
            Ok(Value::text(uuid_v5(space, text(&a[1]))))
        },
    },
    Function {
        name: "bcrypt",
        params: &[STR],
        rest: Some(Param("cost", Kind::Whole)),
        run: |_, _| failed("bcrypt is not supported; store the hash itself"),
    },
    Function {
        name: "rsadecrypt",
        params: &[
            Param("ciphertext", Kind::Text),
            Param("privatekey", Kind::Text),
        ],
        rest: None,
        run: |_, _| failed("rsadecrypt is not supported"),
    },
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn uuid_v5(space: uuid::Uuid, name: &str) -> String {
    let digest = sha1(&[space.as_bytes(), name.as_bytes()].concat());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_sha1_bytes(bytes)
        .into_uuid()
        .to_string()
}

/// A message padded to whole blocks of 64 bytes, with its length in bits at the end.
fn padded(message: &[u8], length: [u8; 8]) -> Vec<u8> {
    let mut data = message.to_vec();
    data.push(0x80);
    while data.len() % 64 != 56 {
        data.push(0);
    }
    data.extend(length);
    data
}

/// SHA-1, for identifiers; not for secrets.
fn sha1(message: &[u8]) -> [u8; 20] {
    let mut state: [u32; 5] = [
        0x6745_2301,
        0xefcd_ab89,
        0x98ba_dcfe,
        0x1032_5476,
        0xc3d2_e1f0,
    ];
    let bits = (message.len() as u64).wrapping_mul(8);
    for block in padded(message, bits.to_be_bytes()).chunks_exact(64) {
        let mut w = [0_u32; 80];
        for (word, bytes) in w.iter_mut().zip(block.chunks_exact(4)) {
            *word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        for i in 16..80 {
            w[i] = (w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (i, word) in w.iter().enumerate() {
            let (f, k) = match i {
                0..20 => ((b & c) | (!b & d), 0x5a82_7999),
                20..40 => (b ^ c ^ d, 0x6ed9_eba1),
                40..60 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6),
            };
            let next = a
                .rotate_left(5)
                .wrapping_add(f)
                .wrapping_add(e)
                .wrapping_add(k)
                .wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (total, part) in state.iter_mut().zip([a, b, c, d, e]) {
            *total = total.wrapping_add(part);
        }
    }
    let mut out = [0; 20];
    for (bytes, word) in out.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    out
}

/// MD5, for checksums of old; not for secrets.
fn md5(message: &[u8]) -> [u8; 16] {
    const SHIFTS: [[u32; 4]; 4] = [
        [7, 12, 17, 22],
        [5, 9, 14, 20],
        [4, 11, 16, 23],
        [6, 10, 15, 21],
    ];
    let mut state: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    let bits = (message.len() as u64).wrapping_mul(8);
    for block in padded(message, bits.to_le_bytes()).chunks_exact(64) {
        let word = |i: usize| {
            u32::from_le_bytes([
                block[4 * i],
                block[4 * i + 1],
                block[4 * i + 2],
                block[4 * i + 3],
            ])
        };
        let [mut a, mut b, mut c, mut d] = state;
        for i in 0..64 {
            let (f, at) = match i / 16 {
                0 => ((b & c) | (!b & d), i),
                1 => ((d & b) | (!d & c), (5 * i + 1) % 16),
                2 => (b ^ c ^ d, (3 * i + 5) % 16),
                _ => (c ^ (b | !d), (7 * i) % 16),
            };
            let constant = (((i + 1) as f64).sin().abs() * 4_294_967_296.0) as u32;
            let sum = a
                .wrapping_add(f)
                .wrapping_add(constant)
                .wrapping_add(word(at));
            let next = b.wrapping_add(sum.rotate_left(SHIFTS[i / 16][i % 4]));
            (a, d, c, b) = (d, c, b, next);
        }
        for (total, part) in state.iter_mut().zip([a, b, c, d]) {
            *total = total.wrapping_add(part);
        }
    }
    let mut out = [0; 16];
    for (bytes, word) in out.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    out
}
