//! Lists: prefix, filter, order and pages, the same for every noun.

use serde_json::Value;

use super::error::HttpError;
use super::filter::Filter;
use super::params::Params;

/// Where an item stands in its list; the token of a page is that of its first item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// `<namespace>.<id>`, or an id alone.
    Name(String, String),
    /// `<create index>.<id>`
    Created(u64, String),
}

impl Key {
    /// An item that only its id places.
    pub(crate) fn id(id: impl ToString) -> Self {
        Self::Name(String::new(), id.to_string())
    }

    fn token(&self) -> String {
        match self {
            Self::Name(namespace, id) if namespace.is_empty() => id.clone(),
            Self::Name(namespace, id) => format!("{namespace}.{id}"),
            Self::Created(index, id) => format!("{index}.{id}"),
        }
    }

    /// Whether this item comes before the one that `token` names, in ascending order. A token of
    /// another form is after everything.
    fn is_before(&self, token: &str) -> bool {
        match self {
            Self::Name(namespace, _) if namespace.is_empty() => self.token().as_str() < token,
            Self::Name(namespace, id) => match token.split_once('.') {
                Some((n, i)) => (namespace.as_str(), id.as_str()) < (n, i),
                None => true,
            },
            Self::Created(index, id) => {
                let parsed = token
                    .split_once('.')
                    .and_then(|(index, id)| Some((index.parse().ok()?, id)));
                match parsed {
                    Some((n, i)) => (*index, id.as_str()) < (n, i),
                    None => true,
                }
            }
        }
    }
}

/// What a list request asks of any list.
#[derive(Debug)]
pub(crate) struct Listing {
    per_page: Option<i64>,
    next_token: String,
    reverse: bool,
    filter: Option<Filter>,
}

/// One page and where the next one starts.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub items: Vec<T>,
    pub next_token: String,
}

impl Listing {
    /// Reads the parameters.
    pub(crate) fn of(params: &Params) -> Result<Self, HttpError> {
        let per_page = match params.text("per_page") {
            "" => None,
            text => Some(i64::from(text.parse::<i32>().map_err(|_| {
                HttpError::bad_request("Expect a number for `per_page` query string parameter")
            })?)),
        };
        let filter = match params.text("filter") {
            "" => None,
            text => Some(Filter::parse(text).map_err(|e| {
                HttpError::bad_request(format!(
                    "failed to create result paginator: failed to read filter expression: {e}"
                ))
            })?),
        };
        Ok(Self {
            per_page: per_page.filter(|n| *n != 0),
            next_token: params.text("next_token").to_string(),
            reverse: params.flag("reverse", false)?,
            filter,
        })
    }

    /// Whether a filter is given.
    pub(crate) fn filters(&self) -> bool {
        self.filter.is_some()
    }

    /// Orders `items` by `key` and takes the wanted page. `show` is the JSON that the filter
    /// sees, `fields` the keys that it may leave out.
    pub(crate) fn page<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        key: impl Fn(&T) -> Key,
        fields: &[&str],
        show: impl Fn(&T) -> Value,
    ) -> Result<Page<T>, HttpError> {
        let mut keyed: Vec<(Key, T)> = items.into_iter().map(|item| (key(&item), item)).collect();
        keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
        if self.reverse {
            keyed.reverse();
        }
        let mut page = Page {
            items: Vec::new(),
            next_token: String::new(),
        };
        for (key, item) in keyed {
            if !self.next_token.is_empty() && self.comes_earlier(&key) {
                continue;
            }
            if let Some(filter) = &self.filter {
                let passes = filter.matches(&show(&item), fields).map_err(|e| {
                    HttpError::bad_request(format!("failed to read result page: {e}"))
                })?;
                if !passes {
                    continue;
                }
            }
            let full = self
                .per_page
                .is_some_and(|n| usize::try_from(n).unwrap_or(0) <= page.items.len());
            if full {
                page.next_token = key.token();
                break;
            }
            page.items.push(item);
        }
        Ok(page)
    }

    fn comes_earlier(&self, key: &Key) -> bool {
        if self.reverse {
            // Descending: earlier means a greater key.
            !key.is_before(&self.next_token) && key.token() != self.next_token
        } else {
            key.is_before(&self.next_token)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pages(query: &str) -> (Vec<u64>, String) {
        let items = [(30, "c"), (9, "a"), (100, "b")];
        let page = Listing::of(&Params::parse(query))
            .unwrap()
            .page(
                items,
                |(index, id)| Key::Created(*index, (*id).to_string()),
                &[],
                |(index, id)| json!({"ID": id, "N": index}),
            )
            .unwrap();
        (
            page.items.iter().map(|(n, _)| *n).collect(),
            page.next_token,
        )
    }

    #[test]
    fn pages_follow_each_other_in_both_directions() {
        assert_eq!(pages(""), (vec![9, 30, 100], String::new()));
        assert_eq!(pages("per_page=2"), (vec![9, 30], "100.b".into()));
        assert_eq!(
            pages("per_page=2&next_token=100.b"),
            (vec![100], String::new())
        );
        assert_eq!(
            pages("reverse=true&per_page=2"),
            (vec![100, 30], "9.a".into())
        );
        assert_eq!(
            pages("reverse=true&per_page=2&next_token=9.a"),
            (vec![9], String::new())
        );
        assert_eq!(pages("per_page=-1"), (vec![], "9.a".into()));
        assert_eq!(
            pages("per_page=1&next_token=garbage"),
            (vec![], String::new())
        );
        assert_eq!(
            pages("per_page=1&filter=ID+!%3D+a"),
            (vec![30], "100.b".into())
        );
    }

    #[test]
    fn wrong_parameters_are_refused() {
        let fails = |query| Listing::of(&Params::parse(query)).unwrap_err().text;
        assert_eq!(
            fails("per_page=x"),
            "Expect a number for `per_page` query string parameter"
        );
        assert!(fails("filter=%3D%3D").starts_with("failed to create result paginator: "));
    }
}
