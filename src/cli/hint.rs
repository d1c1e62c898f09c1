//! The pointer to the web UI after a command's output, on stderr.

use super::context::Ctx;
use super::http_client::Client;

/// Prints where the web UI shows it, unless environment or agent forbid hints.
pub fn show(ctx: &mut Ctx, client: &Client, what: &str, path: &str) {
    if wanted(ctx, client) {
        let url = format!("{}{path}", client.settings.web());
        ctx.err.line(format!(
            "\n\n\x1b[1m\x1b[35m==> {what} in the Web UI:\x1b[0m \x1b[34m{url}\x1b[0m"
        ));
    }
}

fn wanted(ctx: &Ctx, client: &Client) -> bool {
    let setting = (ctx.env)("NOMAD_CLI_SHOW_HINTS").unwrap_or_default();
    match setting.to_lowercase().as_str() {
        "false" | "0" | "f" => return false,
        "true" | "1" | "t" => return true,
        _ => {}
    }
    // An agent that does not answer this shows no hints: there is nothing to point to.
    let Ok(about) = client
        .get("/v1/agent/self")
        .namespace("default")
        .read::<serde_json::Value>()
    else {
        return false;
    };
    about
        .pointer("/config/UI/ShowCLIHints")
        .and_then(serde_json::Value::as_bool)
        != Some(false)
}

/// The path of a job's page.
pub fn job_path(id: &str, namespace: &str) -> String {
    let namespace = if namespace.is_empty() {
        "default"
    } else {
        namespace
    };
    format!("/ui/jobs/{}@{namespace}", super::http_client::escape(id))
}
