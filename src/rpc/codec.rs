//! Values as bytes: postcard, with every failure named by what was being read.

use serde::{Serialize, de::DeserializeOwned};

/// Why bytes are not the value that they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error("could not encode {what}")]
    Encode {
        what: &'static str,
        #[source]
        source: postcard::Error,
    },
    #[error("{length} bytes are no {what}")]
    Decode {
        what: &'static str,
        length: usize,
        #[source]
        source: postcard::Error,
    },
    #[error("{extra} bytes follow {what}")]
    Trailing { what: &'static str, extra: usize },
}

/// Encodes `value`; `what` names it in errors.
pub fn encode<T: Serialize + ?Sized>(what: &'static str, value: &T) -> Result<Vec<u8>, CodecError> {
    postcard::to_stdvec(value).map_err(|source| CodecError::Encode { what, source })
}

/// Decodes exactly `bytes`.
pub fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, CodecError> {
    let length = bytes.len();
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(|source| CodecError::Decode {
        what,
        length,
        source,
    })?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(CodecError::Trailing {
            what,
            extra: rest.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_bytes_of_a_value_are_taken() {
        let mut bytes = encode("pair", &(7u64, "seven")).unwrap();
        assert_eq!(decode("pair", &bytes), Ok((7u64, "seven".to_owned())));
        bytes.push(0);
        let error = decode::<(u64, String)>("pair", &bytes).unwrap_err();
        assert_eq!(
            error,
            CodecError::Trailing {
                what: "pair",
                extra: 1
            }
        );
        assert!(decode::<(u64, String)>("pair", &bytes[..3]).is_err());
    }
}
