//! An idle agent's memory. Exact figures come from `cargo bench --bench figures`; this looks at
//! what no build profile changes: the memory that holds no code.

#![allow(
    clippy::disallowed_methods,
    reason = "it watches a process from outside, so it has no env"
)]

#[expect(dead_code, reason = "the bench measures more")]
#[path = "../benches/figures/agent.rs"]
mod agent;
#[expect(dead_code, reason = "the bench asks more")]
#[path = "../benches/figures/http.rs"]
mod http;

use std::path::Path;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[test]
fn an_idle_agent_holds_little_memory() -> Result<()> {
    let (agent, _) = agent::Agent::start(Path::new(env!("CARGO_BIN_EXE_tumen")))?;
    let held = agent.memory_kb("RssAnon:")?;
    assert!(held < 16_000, "{held} kB");
    agent.stop()
}
