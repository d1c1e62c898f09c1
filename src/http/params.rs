//! Query parameters and how each kind of them is read.

use std::time::Duration;

use super::error::HttpError;

/// The parameters of one request, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads what follows the `?`.
    pub(crate) fn parse(query: &str) -> Self {
        Self(
            query
                .split('&')
                .filter(|part| !part.is_empty())
                .map(|part| part.split_once('=').unwrap_or((part, "")))
                .map(|(key, value)| (decode(key, true), decode(value, true)))
                .collect(),
        )
    }

    /// Every key with its value.
    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// The first value of `key`.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value.as_str())
    }

    /// The first value of `key`, or nothing.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.get(key).unwrap_or_default()
    }

    /// Every value of `key`.
    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(k, _)| k == key)
            .map(|(_, value)| value.as_str())
    }

    /// A boolean; absent or empty: `absent`.
    pub(crate) fn flag(&self, key: &str, absent: bool) -> Result<bool, HttpError> {
        match self.text(key) {
            "" => Ok(absent),
            text => parse_bool(text).ok_or_else(|| {
                HttpError::bad_request(format!(
                    "Failed to parse value of \"{key}\" ({text}) as a bool: \
                     strconv.ParseBool: parsing \"{text}\": invalid syntax"
                ))
            }),
        }
    }

    /// A whole number; absent or empty: `None`.
    pub(crate) fn number(&self, key: &str) -> Result<Option<i64>, HttpError> {
        match self.text(key) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                HttpError::bad_request(format!(
                    "Failed to parse value of \"{key}\" ({text}) as a int: \
                     strconv.Atoi: parsing \"{text}\": invalid syntax"
                ))
            }),
        }
    }

    /// Whether answers may come from a server that asks no quorum.
    pub(crate) fn stale(&self) -> Result<bool, HttpError> {
        match self.get("stale") {
            None => Ok(false),
            Some("") => Ok(true),
            Some(_) => self.flag("stale", false),
        }
    }

    /// The index to wait beyond; 0: do not wait.
    pub(crate) fn index(&self) -> Result<u64, HttpError> {
        match self.text("index") {
            "" => Ok(0),
            text => text
                .parse()
                .map_err(|_| HttpError::bad_request("Invalid index")),
        }
    }

    /// How long to wait at most.
    pub(crate) fn wait(&self) -> Result<Option<Duration>, HttpError> {
        match self.text("wait") {
            "" => Ok(None),
            text => crate::model::duration::parse(text)
                .ok()
                .and_then(|nanos| u64::try_from(nanos).ok())
                .map(|nanos| Some(Duration::from_nanos(nanos)))
                .ok_or_else(|| HttpError::bad_request("Invalid wait time")),
        }
    }

    /// Whether the answer is to be indented.
    pub(crate) fn pretty(&self) -> bool {
        self.get("pretty").is_some_and(|value| value != "0")
    }
}

/// The spellings of a boolean.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Undoes percent encoding; with `plus`, `+` is a space as in forms. What is no code stays.
pub(crate) fn decode(text: &str, plus: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (code, bytes[at]) {
            (Some(byte), _) => {
                out.push(byte);
                at += 3;
                continue;
            }
            (None, b'+') if plus => out.push(b' '),
            (None, byte) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_in_order() {
        let params = Params::parse("a=1&b=x%2Fy+z&a=2&stale&c=%zz");
        assert_eq!(params.get("a"), Some("1"));
        assert_eq!(params.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(params.text("b"), "x/y z");
        assert_eq!(params.text("c"), "%zz");
        assert!(params.stale().unwrap());
        assert!(Params::parse("stale=maybe").stale().is_err());
    }

    #[test]
    fn waits_and_indexes_are_checked() {
        let wait = |query| Params::parse(query).wait().map_err(|e| e.text);
        assert_eq!(wait("wait=2s"), Ok(Some(Duration::from_secs(2))));
        assert_eq!(wait("wait=300000ms"), Ok(Some(Duration::from_secs(300))));
        assert_eq!(wait("wait=10"), Err("Invalid wait time".into()));
        assert_eq!(wait("wait=-1s"), Err("Invalid wait time".into()));
        let error = Params::parse("index=-1").index().unwrap_err();
        assert_eq!(error.text, "Invalid index");
        let error = Params::parse("purge=maybe")
            .flag("purge", false)
            .unwrap_err();
        assert_eq!(
            error.text,
            "Failed to parse value of \"purge\" (maybe) as a bool: \
             strconv.ParseBool: parsing \"maybe\": invalid syntax"
        );
    }
}
