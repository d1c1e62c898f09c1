//! Go templates over JSON, as far as `-t` needs them.
//!
//! Understood: text, `{{.Field.Path}}`, `{{$var}}`, `{{range}}`, `{{if}}`, `{{with}}`, `{{else}}`,
//! `{{end}}`, trim markers, comments, pipes, parentheses, literals, and the functions listed at
//! [`call`]. Anything else is refused by a sentence that names it.

mod eval;
mod lex;

use serde_json::Value;

/// Why a template cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("template: `{0}` is not closed by }}}}")]
    Open(String),
    #[error("template: `{0}` lacks its {{{{end}}}}")]
    NoEnd(String),
    #[error("template: {{{{{0}}}}} closes nothing")]
    Stray(String),
    #[error("template: cannot read `{0}`")]
    Syntax(String),
    #[error("template: the function `{0}` is not known here; there are {known}", known = eval::FUNCTIONS.join(", "))]
    Function(String),
    #[error("template: can't evaluate field {0} in {1}")]
    Field(String, &'static str),
    #[error("template: variable ${0} is not set")]
    Variable(String),
    #[error("template: {0}")]
    Value(String),
}

/// Fills `template` with `data`.
pub fn render(template: &str, data: &Value) -> Result<String, TemplateError> {
    let nodes = lex::parse(template)?;
    let mut out = String::new();
    eval::Scope::new(data).run(&nodes, &mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(template: &str, expected: &str) {
        let data = json!([
            {"ID": "a1", "Status": "running", "N": 3, "Tags": ["x", "y"], "Meta": {"k": "v"}},
            {"ID": "b2", "Status": "dead", "N": 0, "Tags": null, "Meta": {}},
        ]);
        assert_eq!(render(template, &data).unwrap(), expected, "{template}");
    }

    #[test]
    fn templates_fill() {
        check(
            "{{range .}}{{.ID}} {{.Status}}\n{{end}}",
            "a1 running\nb2 dead\n",
        );
        check("{{(index . 0).Meta.k}}", "v");
        check("{{with index . 0}}{{.N}}{{end}}", "3");
        check(
            "{{range $i, $j := .}}{{$i}}={{$j.ID}};{{end}}",
            "0=a1;1=b2;",
        );
        check(
            "{{range .}}{{if eq .Status \"dead\"}}D{{else if .N}}N{{end}}{{end}}",
            "ND",
        );
        check(
            "{{range .}}{{range .Tags}}{{.}}{{else}}-{{end}}{{end}}",
            "xy-",
        );
        check(
            "{{range .}}{{printf \"%-4s|%d|\" .ID .N}}{{end}}",
            "a1  |3|b2  |0|",
        );
        check("{{len .}} {{/* no */}}{{- \"x\" }}", "2 x");
        check("{{range .}}{{.ID | printf \"%q\"}}{{end}}", "\"a1\"\"b2\"");
        check("{{$x := index . 1}}{{$x.Status}}", "dead");
    }

    #[test]
    fn mistakes_are_named() {
        let fails = |t: &str| render(t, &json!({"A": 1})).unwrap_err().to_string();
        assert_eq!(
            fails("{{.B}}"),
            "template: can't evaluate field B in an object"
        );
        assert_eq!(
            fails("{{.A.B}}"),
            "template: can't evaluate field B in a number"
        );
        assert_eq!(
            fails("{{range .}}"),
            "template: `range .` lacks its {{end}}"
        );
        assert_eq!(fails("{{end}}"), "template: {{end}} closes nothing");
        assert!(fails("{{frob .}}").starts_with("template: the function `frob` is not known"));
        assert!(fails("{{.A").contains("not closed"));
    }
}
