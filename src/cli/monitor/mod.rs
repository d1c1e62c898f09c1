//! Watches what a command set off until it has ended: an evaluation, then its deployment.
//!
//! **Owns** the waiting and the drawing; what is told is decided by [`eval::EvalStory`] and
//! [`show::deployment`](crate::cli::show::deployment), which do no I/O. Waiting is a blocking
//! query; a server that is away for a moment is asked again for [`PATIENCE`].

pub mod deployment;
pub mod eval;

use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::context::Ctx;
use super::fail::{Attempt, Failure, OK, Outcome};
use super::http_client::{ApiError, Call, Client};
use crate::http::dto::alloc::AllocListStub;
use crate::http::dto::eval::Evaluation;
use eval::{EvalStory, Finished, Line};

/// How long one blocking query waits.
const WAIT: Duration = Duration::from_secs(2);
/// How long a server may be away.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause before asking again.
const PAUSE: Duration = Duration::from_millis(250);
/// The exit code when a job could not be placed and no deployment goes on with it.
const UNPLACED: u8 = 2;

/// Prints a line of the story.
pub fn tell(ctx: &mut Ctx, line: &Line) {
    let now = ctx.time(ctx.now());
    match line {
        Line::Step(text) => ctx.say(format!("\x1b[1m==> {now}: {text}\x1b[0m")),
        Line::Detail(text) => ctx.say(format!("    {now}: {text}")),
        Line::More(text) => ctx.say(format!("    {text}")),
    }
}

/// Watches an evaluation, the ones after it, and the deployment.
pub fn evaluation(ctx: &mut Ctx, client: &Client, id: &str, verbose: bool) -> Outcome {
    let mut id = id.to_owned();
    loop {
        let finished = one(ctx, client, &id, verbose)?;
        if let Some((next, wait)) = finished.next {
            pause(
                client,
                Duration::from_nanos(u64::try_from(wait).unwrap_or(0)),
            );
            id = next;
            continue;
        }
        return match finished.deployment {
            Some(deployment) => {
                let short = super::format::id(&deployment, verbose);
                tell(
                    ctx,
                    &Line::Step(format!("Monitoring deployment \"{short}\"")),
                );
                deployment::watch(ctx, client, &deployment, verbose)
            }
            None if finished.unplaced => Ok(UNPLACED),
            None => Ok(OK),
        };
    }
}

fn one(ctx: &mut Ctx, client: &Client, id: &str, verbose: bool) -> Result<Finished, Failure> {
    let (mut story, begin) = EvalStory::begin(id, verbose);
    for line in &begin {
        tell(ctx, line);
    }
    let mut index = 0;
    loop {
        let (eval, reached): (Evaluation, u64) = patiently(client, |c| {
            let call = c.get(format!("/v1/evaluation/{id}"));
            if index == 0 {
                call
            } else {
                call.after(index, WAIT)
            }
        })
        .attempt(&format!("No evaluation with id \"{id}\" found"))?;
        let (allocs, _): (Option<Vec<AllocListStub>>, u64) = patiently(client, |c| {
            c.get(format!("/v1/evaluation/{id}/allocations"))
        })
        .attempt("Error reading allocations")?;
        let (lines, finished) = story.step(&eval, &allocs.unwrap_or_default());
        for line in &lines {
            tell(ctx, line);
        }
        if let Some(finished) = finished {
            return Ok(finished);
        }
        if reached <= index {
            pause(client, PAUSE);
        }
        index = reached.max(1);
    }
}

/// Repeats a read while the server is away or without a leader, within [`PATIENCE`].
fn patiently<'c, T: DeserializeOwned>(
    client: &'c Client,
    call: impl Fn(&'c Client) -> Call<'c>,
) -> Result<(T, u64), ApiError> {
    let started = Instant::now();
    loop {
        match call(client).send().and_then(|a| Ok((a.json()?, a.index))) {
            Err(error) if passing(&error) && started.elapsed() < PATIENCE => {
                pause(client, PAUSE * 4)
            }
            result => return result,
        }
    }
}

/// Whether an error may pass by itself.
pub fn passing(error: &ApiError) -> bool {
    match error {
        ApiError::Unreachable { .. } | ApiError::Broken { .. } => true,
        ApiError::Status { code, text } => *code == 503 || text.contains("No cluster leader"),
        ApiError::Scheme { .. } | ApiError::Timeout { .. } | ApiError::Decode { .. } => false,
    }
}

fn pause(client: &Client, time: Duration) {
    client.pause(time);
}
