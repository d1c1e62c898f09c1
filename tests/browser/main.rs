//! The pages in a real browser: both themes, a telephone's width, changes as they happen, keys.
//!
//! Without chromium and its driver the tests say so and pass; with `CI=true` they fail. With
//! `TUMEN_PICTURES=<folder>` the pages are pictured there.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test that panics fails"
)]

mod agent;
mod driver;

use agent::{Agent, LONG};
use driver::Browser;
use serde_json::json;

const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";

/// An agent and a browser, where there is one.
fn world() -> Option<(Agent, Browser)> {
    let browser = Browser::start()?;
    Some((Agent::start(), browser))
}

/// Every kind of page: the name of its picture, its path.
fn pages(agent: &Agent) -> Vec<(&'static str, String)> {
    let node = agent.get("/v1/nodes")[0]["ID"]
        .as_str()
        .unwrap()
        .to_string();
    let eval = agent.get("/v1/evaluations?filter=Status%20==%20%22blocked%22")[0]["ID"]
        .as_str()
        .unwrap()
        .to_string();
    vec![
        ("overview", "/ui/".to_string()),
        ("", "/ui/jobs".to_string()),
        ("job", "/ui/jobs/big-model@default".to_string()),
        ("", format!("/ui/jobs/{LONG}@default")),
        ("", "/ui/allocations".to_string()),
        (
            "allocation",
            format!("/ui/allocations/{}", agent.alloc_of("web")),
        ),
        ("", format!("/ui/allocations/{}", agent.alloc_of("crasher"))),
        ("", "/ui/evaluations".to_string()),
        ("", format!("/ui/evaluations/{eval}")),
        ("", "/ui/clients".to_string()),
        ("", format!("/ui/clients/{node}")),
        ("", "/ui/servers".to_string()),
        ("", "/ui/services".to_string()),
        ("", "/ui/search?q=e".to_string()),
        ("", "/ui/nothing-here".to_string()),
    ]
}

fn is_live(browser: &Browser) {
    browser.until("document.getElementById('live').className === 'live'");
}

#[test]
fn pages_fit_both_themes_and_every_width() {
    let Some((agent, browser)) = world() else {
        return;
    };
    let pictures = std::env::var_os("TUMEN_PICTURES").map(std::path::PathBuf::from);
    let mut backgrounds = Vec::new();
    for theme in ["light", "dark"] {
        browser.system_theme(theme);
        for (name, path) in pages(&agent) {
            for (width, height) in [(360, 740), (1200, 760)] {
                browser.size(width, height);
                browser.go(&agent.url(&path));
                is_live(&browser);
                let wide = browser.eval("document.documentElement.scrollWidth");
                assert!(
                    wide.as_u64() <= Some(u64::from(width)),
                    "{path} is {wide} of {width}"
                );
                let heading = browser.eval("document.querySelectorAll('h1').length");
                assert_eq!(heading, json!(1), "{path}");
                let faint = browser.eval(FAINT);
                assert_eq!(faint, json!([]), "{path} in {theme} is hard to read");
                if let Some(folder) = pictures.as_ref().filter(|_| !name.is_empty()) {
                    let kind = if width == 360 { "-phone" } else { "" };
                    let file = folder.join(format!("{name}{kind}-{theme}.png"));
                    std::fs::write(file, browser.picture()).unwrap();
                }
            }
        }
        backgrounds.push(browser.eval("getComputedStyle(document.body).backgroundColor"));
        let complaints = browser.complaints();
        let own: Vec<_> = complaints.iter().filter(|c| !c.contains("404")).collect();
        assert!(own.is_empty(), "{own:?}");
    }
    assert_ne!(backgrounds[0], backgrounds[1]);
}

/// Texts whose contrast against what is behind them is less than 4.5 to 1.
const FAINT: &str = r#"(() => {
  const parse = (c) => (c.match(/[\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const e of document.querySelectorAll("main *, header *, footer *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !e.getClientRects().length || e.closest("svg, .past")) continue;
    const [a, b] = [parse(getComputedStyle(e).color), behind(e)].map(light);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.push(`${e.nodeName}.${e.className} ${ratio.toFixed(1)}: ${e.textContent}`);
  }
  return faint;
})()"#;

#[test]
fn changes_show_without_loading_again() {
    let Some((mut agent, browser)) = world() else {
        return;
    };
    browser.go(&agent.url("/ui/jobs"));
    is_live(&browser);
    browser.eval("window.sameDocument = true");
    browser.until("!document.getElementById('job-newcomer')");
    agent.run("newcomer", 1, 16, "sleep 600");
    browser.until("/1 of 1/.test(document.getElementById('job-newcomer')?.innerText)");
    browser.until("window.sameDocument === true");

    // What has the focus and what is unfolded stay as they are.
    browser.go(&agent.url("/ui/jobs/newcomer@default"));
    is_live(&browser);
    browser.eval("document.querySelector('tbody th a').focus()");
    browser.eval("window.focused = document.activeElement");
    agent.run("newcomer", 3, 16, "sleep 600");
    browser.until("document.querySelectorAll('tr[id^=alloc-]').length === 3");
    browser.until("document.activeElement === window.focused && window.focused.isConnected");

    browser.go(&agent.url(&format!("/ui/allocations/{}", agent.alloc_of("web"))));
    let lines = "document.querySelector('[data-log]').textContent.split('\\n').length";
    let before = browser.eval(lines).as_u64().unwrap();
    browser.until(&format!("{lines} > {before} + 3"));

    // An agent that is gone, and that comes back.
    agent.stop();
    browser.until("/^stale since/.test(document.getElementById('live').textContent)");
    agent.again();
    is_live(&browser);
    browser.until("document.querySelector('h1').textContent === 'Not found'");
}

#[test]
fn everything_is_found_and_reached_by_keys() {
    let Some((agent, browser)) = world() else {
        return;
    };
    let at = |path: &str| browser.until(&format!("location.pathname === '{path}'"));
    let alloc = agent.alloc_of("web");
    browser.go(&agent.url("/ui/"));
    is_live(&browser);
    browser.keys("/");
    browser.until("document.activeElement.id === 'search'");
    browser.keys(&format!("{}{ENTER}", &alloc[..13]));
    at(&format!("/ui/allocations/{alloc}"));
    for (key, path) in [
        ("j", "/ui/jobs"),
        ("c", "/ui/clients"),
        ("s", "/ui/servers"),
        ("o", "/ui/"),
    ] {
        is_live(&browser);
        browser.keys(&format!("g{key}"));
        at(path);
    }
    browser.go(&agent.url("/ui/jobs"));
    is_live(&browser);
    browser.keys("jj");
    browser
        .until("document.activeElement.closest('tr') === document.querySelectorAll('tbody tr')[1]");
    browser.until("getComputedStyle(document.activeElement).outlineStyle !== 'none'");
    browser.keys("k");
    browser.keys(ENTER);
    browser.until("location.pathname.startsWith('/ui/jobs/')");

    is_live(&browser);
    browser.keys("?");
    browser.until("document.getElementById('help').open");
    browser.keys(ESCAPE);
    browser.until("!document.getElementById('help').open");

    // A chosen theme stays, whatever the system prefers.
    browser.system_theme("light");
    let background = "getComputedStyle(document.body).backgroundColor";
    let light = browser.eval(background);
    browser.keys("t");
    browser.until("document.documentElement.dataset.theme === 'dark'");
    let dark = browser.eval(background);
    assert_ne!(light, dark);
    browser.go(&agent.url("/ui/clients"));
    assert_eq!(browser.eval(background), dark);
    is_live(&browser);
    browser.keys("tt");
    browser.until("!document.documentElement.dataset.theme");
    assert_eq!(browser.eval(background), light);
}
