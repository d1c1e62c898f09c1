//! The demo's web service: a page that shows which instance answers, and how often it has.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::testnet::signals::Signals;

/// What the service knows about itself, from its environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    pub alloc: String,
    pub alloc_id: String,
    pub node: String,
    pub datacenter: String,
    pub listen: SocketAddr,
}

impl About {
    /// Reads the environment of a task. `bind` is the address to listen on, the node's unless
    /// given.
    pub fn read(
        env: &dyn Fn(&str) -> Option<String>,
        bind: Option<IpAddr>,
    ) -> Result<Self, String> {
        let text = |name: &str| env(name).unwrap_or_default();
        let port = env("NOMAD_PORT_http").ok_or("NOMAD_PORT_http is not set: run it as a task")?;
        let port = port
            .parse()
            .map_err(|_| format!("NOMAD_PORT_http is no port: {port}"))?;
        let own = env("NOMAD_IP_http").and_then(|ip| ip.parse().ok());
        let ip = bind.or(own).unwrap_or(Ipv4Addr::LOCALHOST.into());
        Ok(Self {
            alloc: text("NOMAD_ALLOC_NAME"),
            alloc_id: text("NOMAD_ALLOC_ID"),
            node: text("NODE"),
            datacenter: text("NOMAD_DC"),
            listen: SocketAddr::new(ip, port),
        })
    }
}

/// Serves until a signal comes; `say` takes a line a visit.
pub async fn serve(
    about: About,
    say: impl Fn(String) + Send + Sync + 'static,
) -> std::io::Result<()> {
    let mut signals = Signals::install()?;
    let listener = tokio::net::TcpListener::bind(about.listen).await?;
    say(format!("listening on {}", about.listen));
    let app = router(Arc::new(about), Arc::new(say));
    // A browser keeps its connection open: nobody waits for it.
    tokio::select! {
        biased;
        () = signals.next() => Ok(()),
        ended = axum::serve(listener, app).into_future() => ended,
    }
}

fn router(about: Arc<About>, say: Arc<impl Fn(String) + Send + Sync + 'static>) -> Router {
    let visits = Arc::new(AtomicU64::new(0));
    let show = move || {
        let (about, visits, say) = (about.clone(), visits.clone(), say.clone());
        async move {
            let count = visits.fetch_add(1, Ordering::Relaxed) + 1;
            say(format!("visit {count}"));
            let page = page(&about, count).into_string();
            let kind = (header::CONTENT_TYPE, "text/html; charset=utf-8");
            ([kind, (header::CACHE_CONTROL, "no-store")], page).into_response()
        }
    };
    Router::new()
        .route("/", get(show))
        .route("/health", get(|| async { (StatusCode::OK, "ok\n") }))
}

const STYLE: &str = "
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 36rem; margin: 12vh auto; padding: 0 1rem }
h1 { font-size: 1.25rem; font-weight: 600 }
b { display: block; font-size: 4rem; line-height: 1.2; font-variant-numeric: tabular-nums }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem }
dt { opacity: .65 }
dd { margin: 0; font-family: ui-monospace, monospace; overflow-wrap: anywhere }
";

fn page(about: &About, visits: u64) -> Markup {
    let rows = [
        ("allocation", &about.alloc),
        ("id", &about.alloc_id),
        ("node", &about.node),
        ("datacenter", &about.datacenter),
        ("listens on", &about.listen.to_string()),
    ];
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (about.alloc) " on " (about.node) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "This instance has been visited" }
                b { (visits) }
                p { @if visits == 1 { "time" } @else { "times" } " since it started." }
                dl {
                    @for (name, value) in rows {
                        dt { (name) }
                        dd { (value) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_finds_its_port_and_address() {
        let env = |name: &str| {
            let value = match name {
                "NOMAD_PORT_http" => "23000",
                "NOMAD_IP_http" => "127.0.10.11",
                "NOMAD_ALLOC_NAME" => "demo.web[<0>]",
                "NODE" => "c1",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let about = About::read(&env, None).unwrap();
        assert_eq!(about.listen.to_string(), "127.0.10.11:23000");
        let everywhere = Some(Ipv4Addr::UNSPECIFIED.into());
        let inside = About::read(&env, everywhere).unwrap();
        assert_eq!(inside.listen.to_string(), "0.0.0.0:23000");
        let text = page(&about, 3).into_string();
        for part in ["<b>3</b>", "demo.web[&lt;0&gt;]", "<dd>c1</dd>"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let nowhere = About::read(&|_| None, None).unwrap_err();
        assert!(nowhere.contains("NOMAD_PORT_http is not set"));
    }
}
