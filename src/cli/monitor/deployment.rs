//! Watches a deployment: a block redrawn in place on a terminal, a block a change elsewhere.

use std::time::{Duration, Instant};

use super::{PATIENCE, PAUSE, WAIT, passing};
use crate::cli::context::Ctx;
use crate::cli::fail::{Attempt, Failure, OK, Outcome};
use crate::cli::format;
use crate::cli::http_client::{Answer, ApiError, Client};
use crate::cli::output::section;
use crate::cli::show;
use crate::http::dto::alloc::AllocListStub;
use crate::http::dto::deployment::Deployment;

/// How often the spinner turns.
const TICK: Duration = Duration::from_millis(100);
/// How long the deployment of a rollback may take to appear.
const ROLLBACK: Duration = Duration::from_secs(10);
const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// Watches until the deployment has ended; 0 when it succeeded. A rollback is followed too.
pub fn watch(ctx: &mut Ctx, client: &Client, id: &str, verbose: bool) -> Outcome {
    let ended = to_its_end(ctx, client, id, verbose)?;
    if ended.status == "successful" {
        return Ok(OK);
    }
    if rolls_back(&ended)
        && let Some(next) = rollback(client, &ended)?
    {
        let short = format::id(&next, verbose);
        let line = format!(
            "Deployment \"{}\" failed; following its rollback \"{short}\"",
            format::id(id, verbose)
        );
        super::tell(ctx, &super::Line::Step(line));
        to_its_end(ctx, client, &next, verbose)?;
    }
    Ok(1)
}

fn to_its_end(
    ctx: &mut Ctx,
    client: &Client,
    id: &str,
    verbose: bool,
) -> Result<Deployment, Failure> {
    let mut screen = Screen::default();
    let mut shown = None;
    let mut index = 0;
    loop {
        let answer = next_answer(ctx, client, id, index, &mut screen)
            .attempt("Error fetching deployment")?;
        let deployment: Deployment = answer.json().attempt("Error fetching deployment")?;
        let ended = is_over(&deployment.status);
        if shown != Some(deployment.modify_index) || ended {
            shown = Some(deployment.modify_index);
            let text = text(ctx, client, &deployment, verbose)?;
            screen.show(ctx, &deployment, text, verbose);
        }
        if ended {
            return Ok(deployment);
        }
        if answer.index <= index && index != 0 {
            client.pause(PAUSE);
        }
        index = answer.index.max(1);
    }
}

/// Whether a deployment with this status changes no more.
pub fn is_over(status: &str) -> bool {
    matches!(status, "successful" | "failed" | "cancelled" | "blocked")
}

/// The time and the block.
pub fn text(
    ctx: &Ctx,
    client: &Client,
    deployment: &Deployment,
    verbose: bool,
) -> Result<String, Failure> {
    let now = ctx.time(ctx.now());
    let block = show::deployment::block(deployment, verbose, &ctx.zone);
    if !verbose {
        return Ok(format!("{now}\n{block}"));
    }
    let path = format!("/v1/deployment/allocations/{}", deployment.id);
    let allocs: Option<Vec<AllocListStub>> = client
        .get(path)
        .read_newest()
        .attempt("Error fetching allocations")?;
    let table = show::allocs::list(ctx, &allocs.unwrap_or_default(), true);
    Ok(format!(
        "{now}\n{block}\n{}",
        section("Allocations", &table)
    ))
}

fn next_answer(
    ctx: &mut Ctx,
    client: &Client,
    id: &str,
    index: u64,
    screen: &mut Screen,
) -> Result<Answer, ApiError> {
    let started = Instant::now();
    loop {
        let mut call = client.get(format!("/v1/deployment/{id}"));
        if index > 0 {
            call = call.after(index, WAIT);
        }
        let result = client.block_on(async {
            let call = call.send_async();
            tokio::pin!(call);
            let mut tick = tokio::time::interval(TICK);
            loop {
                tokio::select! {
                    biased;
                    answer = &mut call => break answer,
                    _ = tick.tick(), if ctx.terminal => screen.turn(ctx),
                }
            }
        });
        match result {
            Err(error) if passing(&error) && started.elapsed() < PATIENCE => {
                client.pause(PAUSE * 4);
            }
            result => return result,
        }
    }
}

fn rolls_back(deployment: &Deployment) -> bool {
    deployment.status == "failed" && deployment.status_description.contains("rolling back")
}

/// The deployment that a failed one set off, once it is there.
fn rollback(client: &Client, failed: &Deployment) -> Result<Option<String>, Failure> {
    let started = Instant::now();
    let path = format!(
        "/v1/job/{}/deployment",
        crate::cli::http_client::escape(&failed.job_id)
    );
    while started.elapsed() < ROLLBACK {
        let call = client.get(path.as_str()).namespace(&failed.namespace);
        let latest: Option<Deployment> = call.read().attempt("Error fetching latest deployment")?;
        if let Some(next) =
            latest.filter(|d| d.id != failed.id && d.job_version > failed.job_version)
        {
            return Ok(Some(next.id));
        }
        client.pause(PAUSE);
    }
    Ok(None)
}

/// What stands on the terminal now.
#[derive(Default)]
struct Screen {
    title: String,
    text: String,
    frame: usize,
    /// Lines drawn that the next drawing replaces.
    drawn: usize,
}

impl Screen {
    fn show(&mut self, ctx: &mut Ctx, deployment: &Deployment, text: String, verbose: bool) {
        if !ctx.terminal {
            ctx.say("    ");
            ctx.say(text);
            return;
        }
        let id = format::id(&deployment.id, verbose);
        self.text = text;
        if is_over(&deployment.status) {
            let mark = if deployment.status == "successful" {
                '✓'
            } else {
                '!'
            };
            self.draw(
                ctx,
                &format!("{mark} Deployment \"{id}\" {}", deployment.status),
            );
            ctx.say("");
        } else {
            self.title = format!("Deployment \"{id}\" in progress...");
            self.turn(ctx);
        }
    }

    fn turn(&mut self, ctx: &mut Ctx) {
        if self.title.is_empty() {
            return;
        }
        self.frame = (self.frame + 1) % SPINNER.len();
        let head = format!("{} {}", SPINNER[self.frame], self.title);
        self.draw(ctx, &head);
    }

    fn draw(&mut self, ctx: &mut Ctx, head: &str) {
        let mut page = format!("  {head}");
        for line in std::iter::once("").chain(self.text.lines()) {
            page.push_str(&format!("\n    {line}"));
        }
        let erase = match self.drawn {
            0 => String::new(),
            1 => "\r\x1b[J".to_owned(),
            lines => format!("\x1b[{}A\r\x1b[J", lines - 1),
        };
        self.drawn = rows(&page, width());
        ctx.out.write(format!("{erase}{page}").as_bytes());
    }
}

/// The terminal's width.
fn width() -> usize {
    const USUAL: usize = 80;
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    size.ok()
        .map(|s| usize::from(s.ws_col))
        .filter(|w| *w > 0)
        .unwrap_or(USUAL)
}

/// How many rows a page takes on a terminal of the given width.
fn rows(page: &str, width: usize) -> usize {
    let visible = |line: &str| {
        let plain = anstream::adapter::strip_str(line).to_string();
        plain.chars().count()
    };
    page.split('\n')
        .map(|l| visible(l).div_ceil(width).max(1))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_count_wrapped_lines_and_no_colours() {
        assert_eq!(rows("a\nbb", 80), 2);
        assert_eq!(rows("\x1b[1mabc\x1b[0m", 3), 1);
        assert_eq!(rows("abcd\n", 3), 3);
    }

    #[test]
    fn a_rollback_is_known_by_its_description() {
        let mut d = Deployment {
            status: "failed".into(),
            status_description:
                "Failed due to unhealthy allocations - rolling back to job version 0".into(),
            ..Deployment::default()
        };
        assert!(rolls_back(&d));
        d.status_description = "Failed due to unhealthy allocations".into();
        assert!(!rolls_back(&d));
        assert!(is_over("cancelled") && !is_over("paused"));
    }
}
