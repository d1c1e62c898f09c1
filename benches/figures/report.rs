//! The table that is printed.

use std::fmt;

/// What a figure counts.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    Ms,
    Mb,
    Kb,
    Percent,
    Processes,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Ms => format!("{value:.0} ms"),
            Self::Mb => format!("{value:.1} MB"),
            Self::Kb => format!("{value:.0} kB"),
            Self::Percent => format!("{value:.3} %"),
            Self::Processes => format!("{value:.0}"),
        }
    }
}

/// The figures in the order in which they were measured, and what was not measured.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<[String; 4]>,
    skipped: Vec<String>,
}

impl Report {
    pub(crate) fn add(&mut self, what: &str, unit: Unit, measured: f64, aim: f64) {
        let share = if aim > 0.0 {
            format!("{:.2}", measured / aim)
        } else {
            String::new()
        };
        self.rows
            .push([what.to_owned(), unit.show(measured), unit.show(aim), share]);
    }

    /// A figure without an aim of its own, which others refer to.
    pub(crate) fn base(&mut self, what: &str, unit: Unit, measured: f64) {
        let row = [
            what.to_owned(),
            unit.show(measured),
            String::new(),
            String::new(),
        ];
        self.rows.push(row);
    }

    pub(crate) fn skip(&mut self, what: &str, reason: &str) {
        self.skipped.push(format!("not measured: {what}: {reason}"));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["figure", "measured", "aim", "measured/aim"].map(str::to_owned);
        let rows = || std::iter::once(&head).chain(&self.rows);
        let width = rows().map(|row| row[0].chars().count()).max().unwrap_or(0);
        for [what, measured, aim, share] in rows() {
            writeln!(f, "{what:width$}  {measured:>10}  {aim:>10}  {share:>12}")?;
        }
        self.skipped
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// The middle of `values`, which are not empty.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
