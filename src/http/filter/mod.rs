//! The `filter` parameter: expressions such as `Status == "running" and "v1" in Tags`.
//!
//! [`Filter::parse`] reads the text once; [`Filter::matches`] judges each object as the JSON
//! that the API shows of it. Fields are named by their keys; below the first level a key that
//! does not exist matches nothing, at the first level it is an error.

mod eval;
mod parse;

use serde::de::Deserializer;
use serde_json::Value;

/// A parsed expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Filter(Expr);

/// Why a filter cannot be used; the text names the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct FilterError(pub String);

#[derive(Clone, Debug, PartialEq)]
enum Expr {
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    Match(Vec<String>, Test),
}

/// What a field is asked.
#[derive(Clone, Debug)]
enum Test {
    Equal(String),
    NotEqual(String),
    Contains(String),
    NotContains(String),
    Matches(regex::Regex),
    NotMatches(regex::Regex),
    Empty,
    NotEmpty,
}

impl PartialEq for Test {
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

impl Filter {
    /// Reads an expression.
    pub(crate) fn parse(text: &str) -> Result<Self, FilterError> {
        parse::parse(text).map(Self)
    }

    /// Whether `object` passes. `fields` are the keys that such objects may leave out.
    pub(crate) fn matches(&self, object: &Value, fields: &[&str]) -> Result<bool, FilterError> {
        eval::eval(&self.0, object, fields)
    }
}

/// The keys that a type of the API may have.
pub(crate) fn fields_of<'de, T: serde::Deserialize<'de>>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // The probe always fails; what counts is what it was asked for.
    match T::deserialize(FieldProbe(&mut fields)) {
        Ok(_) | Err(_) => fields,
    }
}

/// Notes which fields a type asks for.
struct FieldProbe<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldProbe<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: serde::de::Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("only structs have fields"))
    }

    fn deserialize_struct<V: serde::de::Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        Err(serde::de::Error::custom("fields noted"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(filter: &str, expected: bool) {
        let object = json!({
            "ID": "web", "Status": "running", "Priority": 50, "Stop": false, "Note": "",
            "Datacenters": ["dc1", "dc2"], "Meta": {"team": "a.b", "x.y": "z"}, "None": null,
            "Drivers": {"docker": {"Healthy": true}},
        });
        let got = Filter::parse(filter)
            .and_then(|f| f.matches(&object, &["Left"]))
            .unwrap_or_else(|e| panic!("{filter}: {e}"));
        assert_eq!(got, expected, "{filter}");
    }

    #[test]
    fn comparisons() {
        check(r#"Status == "running""#, true);
        check("Status != running", false);
        check("Status == `running`", true);
        check("Priority == 50", true);
        check("Priority != 50", false);
        check("Stop == false", true);
        check(r#"None == """#, true);
        check(r#"Left == """#, true);
        check("Left == 0", true);
        check("Drivers.docker.Healthy == true", true);
        check("Drivers.qemu.Healthy == true", false);
        check(r#"Meta.team == "a.b""#, true);
        check(r#"Meta["x.y"] == "z""#, true);
        check(r#"Meta.none != "z""#, true);
    }

    #[test]
    fn membership_and_patterns() {
        check(r#""dc1" in Datacenters"#, true);
        check(r#""dc3" not in Datacenters"#, true);
        check(r#"Datacenters contains "dc2""#, true);
        check(r#"Datacenters not contains "dc2""#, false);
        check(r#""team" in Meta"#, true);
        check(r#"Status contains "unn""#, true);
        check(r#"Status matches "^run""#, true);
        check(r#"Status not matches "^run""#, false);
        check("Note is empty", true);
        check("Datacenters is not empty", true);
        check("None is empty", true);
    }

    #[test]
    fn logic_binds_as_usual() {
        check("Stop == true or Priority == 50 and Status == running", true);
        check("(Stop == true or Priority == 50) and Status == dead", false);
        check("not Stop == true", true);
        check("not (Stop == false and Priority == 50)", false);
    }

    #[test]
    fn mistakes_are_named() {
        let fails = |filter: &str| {
            Filter::parse(filter)
                .and_then(|f| f.matches(&json!({"A": 1}), &[]))
                .unwrap_err()
                .0
        };
        assert_eq!(
            fails("Nope == 1"),
            "error finding value in datum: /Nope at part 0: couldn't find key: \
             struct field with name \"Nope\""
        );
        assert_eq!(
            fails("=="),
            "1:1 (0): expected a field or a value, found `==`"
        );
        assert_eq!(fails("A = 1"), "1:3 (2): unexpected character `=`");
        assert_eq!(
            fails("A == 1 B"),
            "1:8 (7): expected `and`, `or` or the end, found `B`"
        );
        assert_eq!(fails("(A == 1"), "1:8 (7): expected `)`, found the end");
        assert_eq!(
            fails("A == x and"),
            "1:11 (10): expected a field or a value, found the end"
        );
        assert!(fails("A matches \"(\"").contains("not a regular expression"));
        assert_eq!(fails("A == \"x"), "1:6 (5): this text does not end");
        assert!(fails("A == x").contains("cannot compare"));
    }

    #[test]
    fn deep_nesting_is_refused() {
        let text = format!("{}A == 1{}", "(".repeat(500), ")".repeat(500));
        assert!(
            Filter::parse(&text)
                .unwrap_err()
                .0
                .contains("nested too deeply")
        );
    }

    #[test]
    fn fields_of_a_type_are_known() {
        let fields = fields_of::<crate::http::dto::eval::EvaluationStub>();
        assert!(fields.contains(&"JobID") && fields.contains(&"WaitUntil"));
    }
}
