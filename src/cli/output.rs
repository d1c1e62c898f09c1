//! Tables, key-value blocks and section titles, as strings. Pure.

/// What an empty cell shows.
const NONE: &str = "<none>";
/// What stands between two columns.
const GAP: &str = "  ";

/// A table: rows of cells, the first row being the head.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
    /// Whether an empty cell stays empty.
    bare: bool,
}

/// Starts a [`Table`] with the given head.
pub fn table<S: AsRef<str>>(head: impl IntoIterator<Item = S>) -> Table {
    Table {
        rows: vec![head.into_iter().map(|c| c.as_ref().to_owned()).collect()],
        bare: false,
    }
}

impl Table {
    /// Leaves empty cells empty.
    pub fn bare(mut self) -> Self {
        self.bare = true;
        self
    }

    /// Adds a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Adds rows.
    pub fn rows(mut self, rows: impl IntoIterator<Item = Vec<String>>) -> Self {
        self.rows.extend(rows);
        self
    }

    /// Whether there is a head alone.
    pub fn is_empty(&self) -> bool {
        self.rows.len() < 2
    }

    /// The lines, without a final newline.
    pub fn render(&self) -> String {
        columns(&self.rows, GAP, self.bare)
    }
}

fn columns(rows: &[Vec<String>], gap: &str, bare: bool) -> String {
    let shown = |cell: &str| {
        if cell.is_empty() && !bare {
            NONE.to_owned()
        } else {
            cell.to_owned()
        }
    };
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|c| shown(c).chars().count()).max().unwrap_or(0)
    };
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    let line = |row: &Vec<String>| {
        let mut text = String::new();
        for (column, cell) in row.iter().enumerate() {
            let cell = shown(cell);
            text.push_str(&cell);
            if column + 1 < row.len() {
                let pad = widths[column].saturating_sub(cell.chars().count());
                text.extend(std::iter::repeat_n(' ', pad));
                text.push_str(gap);
            }
        }
        text
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Key-value lines: `key = value`, the equal signs below each other.
#[derive(Clone, Debug, Default)]
pub struct Pairs(Vec<Vec<String>>);

impl Pairs {
    /// An empty block.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a line.
    pub fn add(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.push(vec![key.into(), value.into()]);
    }

    /// Adds a line and hands the block on.
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.add(key, value);
        self
    }

    /// The lines, without a final newline.
    pub fn render(&self) -> String {
        columns(&self.0, " = ", false)
    }

    /// The lines with wide equal signs.
    pub fn render_wide(&self) -> String {
        columns(&self.0, "  =  ", false)
    }
}

/// Bold text.
pub fn bold(text: &str) -> String {
    format!("\x1b[1m{text}\x1b[0m")
}

/// Bold yellow text, for warnings.
pub fn warning(text: &str) -> String {
    format!("\x1b[1m\x1b[33m{text}\x1b[0m")
}

/// A section: an empty line, a bold title, what follows.
pub fn section(title: &str, body: &str) -> String {
    format!("\n{}\n{body}", bold(title))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_empty_cells_show() {
        let mut list = table(["ID", "Class", "Status"]);
        list.row(["d8999e7d", "", "ready"]);
        insta::assert_snapshot!(list.render(), @r"
        ID        Class   Status
        d8999e7d  <none>  ready
        ");
        let mut bare = table(["Disk", "Addresses"]).bare();
        bare.row(["300 MiB", ""]);
        assert_eq!(bare.render(), "Disk     Addresses\n300 MiB  ");
    }

    #[test]
    fn pairs_align_at_the_equal_sign() {
        let pairs = Pairs::new()
            .with("ID", "x")
            .with("Job Version", "")
            .render();
        assert_eq!(pairs, "ID          = x\nJob Version = <none>");
    }
}
