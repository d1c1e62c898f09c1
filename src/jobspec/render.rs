//! Diagnostics as text: one line each for logs and the API, or with the source shown.

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Report,
};

use super::{Diagnostic, Severity, Source};

/// One line per mistake, as the API answers them.
pub fn lines(diags: &[Diagnostic]) -> String {
    let errors = diags.iter().filter(|d| d.is_error());
    let lines: Vec<String> = errors.map(ToString::to_string).collect();
    lines.join("\n")
}

/// Every diagnostic with the line that it is about, for a terminal of `width` columns.
///
/// `sources` are the texts that places may refer to, found by their names.
pub fn graphical(diags: &[Diagnostic], sources: &[&Source], color: bool, width: usize) -> String {
    let theme = if color {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(width)
        .with_links(false);
    let mut out = String::new();
    for diag in diags {
        let report = report(diag, sources);
        if handler.render_report(&mut out, report.as_ref()).is_err() {
            out.push_str(&format!("{diag}\n"));
        }
    }
    out
}

fn report(diag: &Diagnostic, sources: &[&Source]) -> Report {
    let severity = match diag.severity {
        Severity::Error => miette::Severity::Error,
        Severity::Warning => miette::Severity::Warning,
    };
    let source = diag
        .place
        .as_ref()
        .and_then(|place| sources.iter().find(|s| s.name == place.file));
    let range = diag.place.as_ref().and_then(|place| place.range);
    let (Some(source), Some((start, end))) = (source, range) else {
        let file = diag.place.as_ref().map(|p| format!("{}: ", p.file));
        let text = format!("{}{}", file.unwrap_or_default(), diag.summary);
        return MietteDiagnostic::new(text)
            .with_severity(severity)
            .with_help(diag.detail.clone())
            .into();
    };
    let label = LabeledSpan::at(start.byte..end.byte, diag.detail.clone());
    let shown = MietteDiagnostic::new(diag.summary.clone())
        .with_severity(severity)
        .with_label(label);
    Report::new(shown).with_source_code(NamedSource::new(&source.name, source.text.clone()))
}
