//! Command line flags as Go programs take them: `-name value`, `-name=value`, one dash or two.
//!
//! Parsing stops at the first word that is no flag; a boolean takes its value only after `=`.
//! Pure: words in, [`Args`] or [`FlagError`] out.

use std::collections::BTreeMap;

use super::fail::Failure;

/// What follows a flag's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing, or `=true` / `=false`.
    Switch,
    /// One value; the last one counts.
    Value,
    /// One value each time it is given; all count.
    List,
}

/// A flag that a command takes.
#[derive(Debug)]
pub struct Flag {
    pub name: &'static str,
    pub kind: Kind,
    /// The value's name in the help text.
    pub hint: &'static str,
    pub help: &'static str,
}

/// A flag without a value.
pub const fn switch(name: &'static str, help: &'static str) -> Flag {
    Flag {
        name,
        kind: Kind::Switch,
        hint: "",
        help,
    }
}

/// A flag with a value.
pub const fn value(name: &'static str, hint: &'static str, help: &'static str) -> Flag {
    Flag {
        name,
        kind: Kind::Value,
        hint,
        help,
    }
}

/// A flag that may be given several times.
pub const fn list(name: &'static str, hint: &'static str, help: &'static str) -> Flag {
    Flag {
        name,
        kind: Kind::List,
        hint,
        help,
    }
}

/// Why the words are no valid flags.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    #[error("help was asked for")]
    Help,
    #[error("flag provided but not defined: -{0}")]
    Unknown(String),
    #[error("flag needs an argument: -{0}")]
    NoValue(String),
    #[error("invalid boolean value \"{1}\" for -{0}: parse error")]
    NotBoolean(String, String),
    #[error("bad flag syntax: {0}")]
    Syntax(String),
}

/// The flags given, and the words after them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Args {
    given: BTreeMap<&'static str, Vec<String>>,
    pub rest: Vec<String>,
}

impl Args {
    /// Reads `words` against the flags that are allowed.
    pub fn parse(allowed: &[&'static [Flag]], words: &[String]) -> Result<Self, FlagError> {
        let mut args = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let Some(body) = word.strip_prefix('-').filter(|b| !b.is_empty()) else {
                args.rest.push(word.clone());
                break;
            };
            if body == "-" {
                break;
            }
            args.one(allowed, word, body, &mut words)?;
        }
        args.rest.extend(words.cloned());
        Ok(args)
    }

    /// Reads the flags that stand behind the first words too.
    pub fn anywhere(mut self, allowed: &[&'static [Flag]]) -> Result<Self, FlagError> {
        let mut rest = std::mem::take(&mut self.rest);
        while !rest.is_empty() {
            self.rest.push(rest.remove(0));
            let more = Self::parse(allowed, &rest)?;
            for (name, values) in more.given {
                self.given.entry(name).or_default().extend(values);
            }
            rest = more.rest;
        }
        Ok(self)
    }

    fn one<'a>(
        &mut self,
        allowed: &[&'static [Flag]],
        word: &str,
        body: &str,
        more: &mut impl Iterator<Item = &'a String>,
    ) -> Result<(), FlagError> {
        let body = body.strip_prefix('-').unwrap_or(body);
        if body.starts_with(['-', '=']) {
            return Err(FlagError::Syntax(word.to_owned()));
        }
        let (name, inline) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (body, None),
        };
        let Some(flag) = allowed
            .iter()
            .flat_map(|f| f.iter())
            .find(|f| f.name == name)
        else {
            return Err(match name {
                "h" | "help" => FlagError::Help,
                _ => FlagError::Unknown(name.to_owned()),
            });
        };
        let value = match (flag.kind, inline) {
            (Kind::Switch, None) => "true".to_owned(),
            (Kind::Switch, Some(text)) => boolean(name, &text)?.to_string(),
            (Kind::Value | Kind::List, Some(text)) => text,
            (Kind::Value | Kind::List, None) => more
                .next()
                .cloned()
                .ok_or_else(|| FlagError::NoValue(name.to_owned()))?,
        };
        self.given.entry(flag.name).or_default().push(value);
        Ok(())
    }

    /// Whether a switch is on; `None` when it was not given.
    pub fn switch_or(&self, name: &str, unset: bool) -> bool {
        self.value(name).map_or(unset, |v| v == "true")
    }

    /// Whether a switch is on.
    pub fn on(&self, name: &str) -> bool {
        self.switch_or(name, false)
    }

    /// The last value given.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.given.get(name)?.last().map(String::as_str)
    }

    /// All values given, in order.
    pub fn list(&self, name: &str) -> &[String] {
        self.given.get(name).map_or(&[], Vec::as_slice)
    }

    /// A number.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Failure> {
        let Some(text) = self.value(name) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| {
            Failure::new(format!(
                "invalid value \"{text}\" for flag -{name}: it must be a whole number"
            ))
            .usage()
        })
    }

    /// A length of time in nanoseconds, such as `1h30m`.
    pub fn duration(&self, name: &str) -> Result<Option<i64>, Failure> {
        let Some(text) = self.value(name) else {
            return Ok(None);
        };
        crate::model::duration::parse(text).map(Some).map_err(|_| {
            Failure::new(format!(
                "invalid value \"{text}\" for flag -{name}: it must be a duration such as 90s or 1h30m"
            ))
            .usage()
        })
    }
}

fn boolean(name: &str, text: &str) -> Result<bool, FlagError> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(FlagError::NotBoolean(name.to_owned(), text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static FLAGS: &[Flag] = &[
        switch("json", ""),
        value("t", "<t>", ""),
        list("var", "<k=v>", ""),
    ];

    fn parse(line: &str) -> Result<Args, FlagError> {
        let words: Vec<String> = line
            .split(' ')
            .filter(|w| !w.is_empty())
            .map(String::from)
            .collect();
        Args::parse(&[FLAGS], &words)
    }

    #[test]
    fn one_dash_and_two_are_the_same() {
        for line in [
            "-json -t x a",
            "--json --t x a",
            "-json=true -t=x a",
            "--json=1 --t=x -- a",
        ] {
            let args = parse(line).unwrap();
            assert!(args.on("json"), "{line}");
            assert_eq!(args.value("t"), Some("x"), "{line}");
            assert_eq!(args.rest, ["a"], "{line}");
        }
    }

    #[test]
    fn flags_end_at_the_first_other_word() {
        let args = parse("web -json").unwrap();
        assert!(!args.on("json"));
        assert_eq!(args.rest, ["web", "-json"]);
        assert_eq!(parse("- -json").unwrap().rest, ["-", "-json"]);
    }

    #[test]
    fn flags_may_stand_behind_words_where_a_command_takes_that() {
        let read = |line: &str| parse(line).unwrap().anywhere(&[FLAGS]);
        let args = read("-t=1 web -json api -t=2").unwrap();
        assert!(args.on("json"));
        assert_eq!(args.value("t"), Some("2"));
        assert_eq!(args.rest, ["web", "api"]);
        let unknown = read("web -frob").unwrap_err();
        assert_eq!(unknown, FlagError::Unknown("frob".into()));
    }

    #[test]
    fn lists_keep_all_and_values_the_last() {
        let args = parse("-var a=1 -var=b=2 -t x -t y").unwrap();
        assert_eq!(args.list("var"), ["a=1", "b=2"]);
        assert_eq!(args.value("t"), Some("y"));
        assert!(parse("-json=false").unwrap().value("json").is_some());
    }

    #[test]
    fn mistakes_are_named() {
        for (line, error) in [
            ("-frob", "flag provided but not defined: -frob"),
            ("-t", "flag needs an argument: -t"),
            (
                "-json=maybe",
                "invalid boolean value \"maybe\" for -json: parse error",
            ),
            ("---x", "bad flag syntax: ---x"),
        ] {
            assert_eq!(parse(line).unwrap_err().to_string(), error);
        }
        assert_eq!(parse("-h").unwrap_err(), FlagError::Help);
        assert_eq!(parse("--help").unwrap_err(), FlagError::Help);
    }
}
