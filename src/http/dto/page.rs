//! Pages of the web UI, as they are handed to the server that delivers them.

use std::sync::Arc;

use futures_util::future::BoxFuture;

/// One page or one file that pages need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// The media type.
    pub kind: &'static str,
    pub body: String,
}

/// Makes the page for a path (from `/ui/` on, decoded) and a query string.
pub type Pages = Arc<dyn Fn(String, String) -> BoxFuture<'static, Page> + Send + Sync>;
