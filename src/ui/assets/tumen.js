// What scripts add to the pages: changes as they happen, keys, the theme. Pages are whole without.
"use strict";

const root = document.documentElement;
const THEMES = ["auto", "dark", "light"];

const kept = {
  get(key) { try { return localStorage.getItem(key); } catch { return null; } },
  set(key, value) { try { localStorage.setItem(key, value); } catch { /* not kept, then */ } },
};

function applyTheme(theme) {
  if (theme === "dark" || theme === "light") root.dataset.theme = theme;
  else delete root.dataset.theme;
  const button = document.getElementById("theme");
  if (button) {
    button.textContent = theme;
    button.title = `Theme: ${theme}`;
    button.setAttribute("aria-label", button.title);
  }
}

function theme() {
  const theme = kept.get("theme");
  return THEMES.includes(theme) ? theme : "auto";
}

function nextTheme() {
  const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length];
  kept.set("theme", next);
  applyTheme(next);
}

applyTheme(theme()); // before anything is drawn

// --- Putting new content in place of old, so that focus, selection and what is unfolded stay ---

function morph(from, to) {
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName) {
    from.replaceWith(to);
  } else if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.data !== to.data) from.data = to.data;
  } else {
    for (const { name } of [...from.attributes]) {
      const own = name === "open" && from.nodeName === "DETAILS";
      if (!to.hasAttribute(name) && !own) from.removeAttribute(name);
    }
    for (const { name, value } of [...to.attributes]) {
      if (from.getAttribute(name) !== value) from.setAttribute(name, value);
    }
    if (!from.hasAttribute("data-log")) morphChildren(from, to);
  }
}

function morphChildren(from, to) {
  const named = new Map([...from.children].filter((c) => c.id).map((c) => [c.id, c]));
  let at = from.firstChild;
  for (const want of [...to.childNodes]) {
    const same = want.id ? named.get(want.id) : undefined;
    if (same) {
      if (same === at) at = at.nextSibling;
      else from.insertBefore(same, at);
      morph(same, want);
    } else if (at && !at.id && !want.id) {
      const next = at.nextSibling;
      morph(at, want);
      at = next;
    } else {
      from.insertBefore(want, at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function applyPatch(main, { title, order, parts }) {
  document.title = `${title} · Tumen`;
  let at = main.firstElementChild;
  for (const name of order) {
    const id = `part-${name}`;
    let section = document.getElementById(id);
    if (!section) {
      section = document.createElement("section");
      section.id = id;
    }
    if (section === at) at = at.nextElementSibling;
    else main.insertBefore(section, at);
    if (name in parts) {
      const template = document.createElement("template");
      template.innerHTML = parts[name];
      morphChildren(section, template.content);
    }
  }
  while (at) {
    const next = at.nextElementSibling;
    at.remove();
    at = next;
  }
  showAges();
}

// --- Ages ---

function span(seconds) {
  const [d, h, m] = [86400, 3600, 60].map((unit) => Math.floor(seconds / unit));
  if (d) return `${d}d${h % 24}h`;
  if (h) return `${h}h${m % 60}m`;
  if (m) return `${m}m${seconds % 60}s`;
  return `${seconds}s`;
}

function showAges() {
  const now = Date.now() / 1000;
  for (const element of document.querySelectorAll("time[datetime]")) {
    const then = Date.parse(element.dateTime) / 1000;
    if (Number.isNaN(then)) continue;
    const text = `${span(Math.max(0, Math.floor(now - then)))} ago`;
    if (element.textContent !== text) element.textContent = text;
  }
}

// --- The log ---

const LOG_MAX = 512 * 1024; // characters that are kept in view

function applyLog({ reset, text, note }) {
  const pre = document.querySelector("[data-log]");
  if (!pre) return;
  const atEnd = pre.scrollHeight - pre.scrollTop - pre.clientHeight < 24;
  if (reset) pre.textContent = "";
  if (text) pre.append(text);
  if (note) pre.append(`${pre.textContent && !pre.textContent.endsWith("\n") ? "\n" : ""}${note}\n`);
  if (pre.textContent.length > LOG_MAX) {
    const rest = pre.textContent.slice(-LOG_MAX / 2);
    pre.textContent = rest.slice(rest.indexOf("\n") + 1);
  }
  if (atEnd || reset) pre.scrollTop = pre.scrollHeight;
}

// --- Live ---

const RETRY_FIRST = 1000;
const RETRY_LAST = 30000;
const SILENCE = 40000; // the server says something at least every 15 s
const HIDDEN = 60000; // how long a page in the background stays live

function live(main) {
  const sign = document.getElementById("live");
  let source = null;
  let retry = RETRY_FIRST;
  let timer = null;
  let silence = null;
  let hidden = null;

  function show(state, text) {
    sign.className = state;
    if (sign.textContent !== text) sign.textContent = text;
  }

  function stale(why) {
    if (sign.className === "stale") return;
    show("stale", `stale since ${new Date().toLocaleTimeString()}${why ? `: ${why}` : ""}`);
  }

  function heard() {
    clearTimeout(silence);
    silence = setTimeout(again, SILENCE);
  }

  function alive() {
    retry = RETRY_FIRST;
    show("live", "live");
    heard();
  }

  function close() {
    clearTimeout(timer);
    clearTimeout(silence);
    if (source) source.close();
    source = null;
  }

  function again() {
    close();
    stale("the agent does not answer");
    timer = setTimeout(open, retry * (0.75 + Math.random() / 2));
    retry = Math.min(retry * 2, RETRY_LAST);
  }

  function open() {
    close();
    source = new EventSource(main.dataset.live);
    const on = (name, act) => source.addEventListener(name, (e) => act(JSON.parse(e.data)));
    on("patch", (patch) => { applyPatch(main, patch); alive(); });
    on("log", (log) => { applyLog(log); heard(); });
    on("beat", heard);
    on("fresh", alive);
    on("stale", ({ reason }) => { stale(reason); heard(); });
    source.onerror = again;
    heard();
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(hidden);
    if (document.hidden) hidden = setTimeout(() => { close(); stale("in the background"); }, HIDDEN);
    else if (!source) open();
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", (e) => { if (e.persisted) open(); });
  open();
}

// --- Keys ---

function keys(search, help) {
  let prefix = 0;

  function move(step) {
    const rows = [...document.querySelectorAll("main tbody th a, main .problems .what a:first-of-type")];
    if (!rows.length) return;
    const at = rows.indexOf(document.activeElement);
    const to = at < 0 ? (step > 0 ? 0 : rows.length - 1) : at + step;
    rows[Math.min(Math.max(to, 0), rows.length - 1)].focus();
  }

  const acts = {
    "/": () => { search.focus(); search.select(); },
    "?": () => help.showModal(),
    t: nextTheme,
    j: () => move(1),
    k: () => move(-1),
  };

  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.isComposing || help.open) return;
    if (e.target.closest("input, select, textarea")) {
      if (e.key === "Escape") e.target.blur();
      return;
    }
    const led = Date.now() - prefix < 1500;
    prefix = 0;
    const section = led && document.querySelector(`nav a[data-key="${CSS.escape(e.key)}"]`);
    if (section) section.click();
    else if (e.key === "g") prefix = Date.now();
    else if (Object.hasOwn(acts, e.key)) acts[e.key]();
    else return;
    e.preventDefault();
  });
}

document.addEventListener("DOMContentLoaded", () => {
  const [themeButton, keysButton] = ["theme", "keys"].map((id) => document.getElementById(id));
  const help = document.getElementById("help");
  themeButton.hidden = keysButton.hidden = false;
  applyTheme(theme());
  themeButton.addEventListener("click", nextTheme);
  keysButton.addEventListener("click", () => help.showModal());
  for (const select of document.querySelectorAll("form.filter select")) {
    select.addEventListener("change", () => select.form.requestSubmit());
  }
  const log = document.querySelector("[data-log]");
  if (log) log.scrollTop = log.scrollHeight;
  keys(document.getElementById("search"), help);
  showAges();
  setInterval(showAges, 1000);
  live(document.getElementById("content"));
});
