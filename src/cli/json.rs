//! `-json` and `-t`: API objects as they are, indented or through a template.

use serde::Serialize;
use serde_json::Value;

use super::fail::Failure;
use super::flags::{Args, Flag, switch, value};
use super::template;

/// The flags for it.
pub static FLAGS: &[Flag] = &[
    switch("json", "Prints the API's JSON."),
    value(
        "t",
        "<template>",
        "Prints the data through a Go template, such as '{{range .}}{{.ID}}{{end}}'.",
    ),
];

/// Whether either flag is given.
pub fn wanted(args: &Args) -> bool {
    args.on("json") || args.value("t").is_some_and(|t| !t.is_empty())
}

/// The data as the flags ask for.
pub fn render(args: &Args, data: &Value) -> Result<String, Failure> {
    match args.value("t").filter(|t| !t.is_empty()) {
        Some(_) if args.on("json") => Err(Failure::new(
            "Both json and template formatting are not allowed",
        )),
        Some(text) => template::render(text, data)
            .map_err(|e| Failure::new(format!("Error formatting the data: {e}"))),
        None => Ok(pretty(data)),
    }
}

/// JSON with an indent of four.
pub fn pretty(data: &impl Serialize) -> String {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut to = serde_json::Serializer::with_formatter(&mut out, formatter);
    data.serialize(&mut to)
        .expect("the API's types have text keys");
    String::from_utf8(out).expect("JSON is UTF-8")
}
