//! Pages of the web UI, as they are handed to the server that delivers them.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

/// Which page is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// From `/ui/` on, decoded.
    pub path: String,
    /// What follows the `?`, decoded, in its order.
    pub query: Vec<(String, String)>,
}

impl PageRequest {
    /// The first value of `key`, without the space around it; nothing if there is none.
    pub fn text(&self, key: &str) -> &str {
        self.query
            .iter()
            .find(|(k, _)| k == key)
            .map_or("", |(_, value)| value.trim())
    }
}

/// What a request for a page is answered with.
pub enum Page {
    /// A page, or a file that pages need.
    Whole {
        /// The HTTP status.
        status: u16,
        /// The media type.
        kind: &'static str,
        body: String,
        /// Whether this address will always give this content.
        lasting: bool,
    },
    /// The page is at this address, percent-encoded.
    Moved(String),
    /// What comes as it happens. Made only as fast as it is taken.
    Stream {
        kind: &'static str,
        chunks: BoxStream<'static, Bytes>,
    },
}

/// Makes pages.
pub type Pages = Arc<dyn Fn(PageRequest) -> BoxFuture<'static, Page> + Send + Sync>;
