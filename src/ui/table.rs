//! Tables that stay readable on a phone, and lists in pages.
//!
//! Each cell carries its column's name, which the style sheet shows where rows become cards.

use maud::{Markup, html};

use crate::http::dto::page::PageRequest;

use super::format::encoded;

/// How many rows of a long list one page shows.
const ROWS_MAX: usize = 100;

/// A column: its name, and whether it holds numbers.
#[derive(Clone, Copy)]
pub(super) struct Column(&'static str, bool);

/// A column of text.
pub(super) const fn text(name: &'static str) -> Column {
    Column(name, false)
}

/// A column of numbers, which stand to the right.
pub(super) const fn number(name: &'static str) -> Column {
    Column(name, true)
}

/// A table; the first column names the row.
pub(super) struct Table {
    columns: &'static [Column],
    rows: Vec<(String, &'static str, Vec<Markup>)>,
    nothing: Markup,
}

impl Table {
    /// A table; `nothing` stands in its place while it has no rows.
    pub(super) fn new(columns: &'static [Column], nothing: impl Into<Nothing>) -> Self {
        Self {
            columns,
            rows: Vec::new(),
            nothing: nothing.into().0,
        }
    }

    /// Adds a row. `id` is unique on the page, or empty; `class` may be empty.
    pub(super) fn row(&mut self, id: impl Into<String>, class: &'static str, cells: Vec<Markup>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push((id.into(), class, cells));
    }

    pub(super) fn render(&self) -> Markup {
        if self.rows.is_empty() {
            return html! { p.empty { (self.nothing) } };
        }
        html! {
            table {
                thead { tr {
                    @for Column(name, number) in self.columns {
                        th scope="col" class=[number.then_some("number")] { (name) }
                    }
                } }
                tbody {
                    @for (id, class, cells) in &self.rows {
                        tr id=[(!id.is_empty()).then_some(id)]
                            class=[(!class.is_empty()).then_some(class)] { (self.cells(cells)) }
                    }
                }
            }
        }
    }

    fn cells(&self, cells: &[Markup]) -> Markup {
        html! {
            @for (n, (Column(name, number), cell)) in self.columns.iter().zip(cells).enumerate() {
                @if n == 0 {
                    th scope="row" { (cell) }
                } @else {
                    td data-label=(name) class=[number.then_some("number")] { (cell) }
                }
            }
        }
    }
}

/// What a table without rows says.
pub(super) struct Nothing(Markup);

impl From<&str> for Nothing {
    fn from(text: &str) -> Self {
        Self(html! { (text) })
    }
}

impl From<Markup> for Nothing {
    fn from(markup: Markup) -> Self {
        Self(markup)
    }
}

/// The rows of a long list that a request wants, with links to the rest.
pub(super) struct Paged<T> {
    pub rows: Vec<T>,
    /// Empty if the page holds all.
    pub links: Markup,
}

/// The page of `all` that `request` asks for with `page`, counted from 1.
pub(super) fn paged<T>(all: Vec<T>, request: &PageRequest) -> Paged<T> {
    let total = all.len();
    let pages = total.div_ceil(ROWS_MAX).max(1);
    let page = request.text("page").parse().unwrap_or(1).clamp(1, pages);
    let first = (page - 1) * ROWS_MAX;
    let rows: Vec<T> = all.into_iter().skip(first).take(ROWS_MAX).collect();
    let links = html! {
        @if pages > 1 {
            p.pages {
                (first + 1) "–" (first + rows.len()) " of " (total)
                @if page > 1 { " " a rel="prev" href=(address(request, page - 1)) { "Previous" } }
                @if page < pages { " " a rel="next" href=(address(request, page + 1)) { "Next" } }
            }
        }
    };
    Paged { rows, links }
}

/// The same list at another page.
fn address(request: &PageRequest, page: usize) -> String {
    let mut to = format!("{}?", encoded(&request.path));
    for (key, value) in request.query.iter().filter(|(key, _)| key != "page") {
        to.push_str(&format!("{}={}&", encoded(key), encoded(value)));
    }
    to + &format!("page={page}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(page: &str) -> PageRequest {
        let pair = |k: &str, v: &str| (k.to_string(), v.to_string());
        PageRequest {
            path: "/ui/jobs".to_string(),
            query: vec![pair("q", "a b"), pair("page", page)],
        }
    }

    #[test]
    fn long_lists_come_in_pages() {
        let shown = |page| {
            let paged = paged((0..250).collect(), &request(page));
            (paged.rows[0], paged.rows.len(), paged.links.into_string())
        };
        assert_eq!((shown("1").0, shown("1").1), (0, 100));
        assert_eq!((shown("3").0, shown("3").1), (200, 50));
        assert_eq!(shown("99").0, 200);
        assert_eq!(shown("x").0, 0);
        let links = shown("2").2;
        assert!(links.contains("101–200 of 250"), "{links}");
        assert!(links.contains("/ui/jobs?q=a%20b&amp;page=3"), "{links}");
        assert!(paged(vec![1], &request("")).links.into_string().is_empty());
    }

    #[test]
    fn cells_carry_their_columns_names() {
        const COLUMNS: [Column; 2] = [text("Name"), number("Count")];
        let mut table = Table::new(&COLUMNS, "None.");
        assert_eq!(table.render().into_string(), "<p class=\"empty\">None.</p>");
        table.row("r1", "", vec![html! { "a" }, html! { (3) }]);
        let shown = table.render().into_string();
        assert!(shown.contains("<th scope=\"row\">a</th>"), "{shown}");
        assert!(
            shown.contains("<td data-label=\"Count\" class=\"number\">3</td>"),
            "{shown}"
        );
    }
}
