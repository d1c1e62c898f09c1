//! Points in time as text: RFC 3339 with as many digits of the second as needed.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::Timestamp;

/// What an unset time looks like.
const UNSET: &str = "0001-01-01T00:00:00Z";

/// A point in time, written as text. Where the API has `null` for "unset", use `Option`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Timestamp);

impl Moment {
    /// `None` when `time` is unset.
    pub fn or_null(time: Timestamp) -> Option<Self> {
        time.is_set().then_some(Self(time))
    }
}

impl From<Timestamp> for Moment {
    fn from(time: Timestamp) -> Self {
        Self(time)
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.0.is_set() {
            return f.write_str(UNSET);
        }
        match jiff::Timestamp::from_nanosecond(i128::from(self.0.0)) {
            Ok(time) => write!(f, "{time}"),
            Err(_) => f.write_str(UNSET),
        }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text.is_empty() || text.starts_with("0001-01-01T") {
            return Ok(Self::default());
        }
        let time: jiff::Timestamp = text
            .parse()
            .map_err(|e| D::Error::custom(format!("`{text}` is no time: {e}")))?;
        let nanos = i64::try_from(time.as_nanosecond())
            .map_err(|_| D::Error::custom(format!("`{text}` is out of range")))?;
        Ok(Self(Timestamp(nanos)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_back() {
        for text in [
            "2026-11-22T18:51:53.062786479Z",
            "2026-11-22T18:49:13Z",
            "2026-11-22T18:51:55.6Z",
            UNSET,
        ] {
            let json = format!("\"{text}\"");
            let time: Moment = serde_json::from_str(&json).unwrap();
            assert_eq!(serde_json::to_string(&time).unwrap(), json);
        }
        assert!(serde_json::from_str::<Moment>("\"yesterday\"").is_err());
    }
}
