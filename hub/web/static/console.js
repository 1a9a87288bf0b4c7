// The page of a console: shows what the machine showed from the log on, types on it, and goes on at the
// byte where it was after a break, through this hub or, when that one is gone, through another.
"use strict";

(() => {
  const TAIL_BYTES = 64 * 1024;
  const TAKEN_EACH = 64 * 1024;
  const RETRY_MS = 1000;
  const NOT_RUNNING_MS = 3000;
  const LOST_AFTER_MS = 2500; // A hub that restarts quickly is no news.
  const TYPED_AT_ONCE = 16 * 1024;
  const NEVER_AGAIN = ["invalid_params", "not_found", "unauthorized", "not_supported", "left"];
  const byId = (id) => document.getElementById(id);
  const place = byId("terminal");
  if (!place) return;

  const { vm, node } = place.dataset;
  let movedFrom = place.dataset.movedFrom;
  const position = new ConsolePosition();
  const typed = new TextEncoder();
  let isReadOnly = place.dataset.mode === "ro";
  let socket = null;
  let taken = 0;
  let told = 0;
  let missedBytes = 0;
  let retryTimer = null;
  let silentSince = null;
  let turn = 0;

  // ---- The terminal. It writes style elements, which the policy of this page forbids; the same text in
  // a constructed sheet is allowed. See https://www.w3.org/TR/cssom-1/#dom-cssstylesheet-replacesync

  const makeElement = document.createElement.bind(document);
  document.createElement = (name, options) => (String(name).toLowerCase() === "style" ? mirrored() : makeElement(name, options));

  function mirrored() {
    const holder = Object.assign(makeElement("span"), { hidden: true });
    const sheet = new CSSStyleSheet();
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
    new MutationObserver(() => sheet.replaceSync(holder.textContent)).observe(holder, { childList: true, characterData: true, subtree: true });
    return holder;
  }

  const term = new Terminal({
    cursorBlink: false,
    fontFamily: "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace",
    fontSize: innerWidth < 600 ? 12 : 14,
    scrollback: 5000,
    theme: { background: "#10181d", foreground: "#d9e4ea", cursor: "#d9e4ea", selectionBackground: "#3a5566" },
  });
  const fit = new FitAddon.FitAddon();
  term.loadAddon(fit);
  term.open(byId("terminal-screen"));
  term.textarea.setAttribute("aria-label", `Console of ${vm}`);
  fit.fit();
  new ResizeObserver(() => fit.fit()).observe(byId("terminal-screen"));
  term.onResize(({ cols, rows }) => word({ resize: [cols, rows] }));
  term.onData(type);
  term.onBinary((text) => typeBytes(Uint8Array.from(text, (sign) => sign.charCodeAt(0))));
  term.attachCustomKeyEventHandler((event) => {
    if (!(event.ctrlKey && event.key === "]")) return true;
    if (event.type === "keydown") byId("terminal-mode").focus();
    return false;
  });

  // ---- Saying how it is

  function say(words, sign) {
    byId("terminal-state").replaceChildren(Object.assign(makeElement("span"), { className: `mark mark-${sign}`, textContent: words }));
  }

  function note(sentence) {
    byId("terminal-note").textContent = sentence;
    byId("terminal-note").hidden = !sentence;
  }

  function inText(sentence) {
    term.write(`\r\n\x1b[7m[${sentence}]\x1b[0m\r\n`);
  }

  // The line in the terminal scrolls away with the flood that it tells of; the sum stays.
  function leaveOut(missing) {
    missedBytes += missing;
    inText(`${missing.toLocaleString("en")} bytes were shown too fast and are left out here`);
    byId("terminal-missed").textContent = `${missedBytes.toLocaleString("en")} bytes were too fast and are left out`;
  }

  // ---- Typing

  function isOpen() {
    return socket !== null && socket.readyState === WebSocket.OPEN;
  }

  function word(value) {
    if (isOpen()) socket.send(JSON.stringify(value));
  }

  function type(text) {
    typeBytes(typed.encode(text));
  }

  function typeBytes(bytes) {
    if (isReadOnly) return note("This console is read only: switch that off to type.");
    if (!isOpen()) return note("Not connected: what you type is not sent.");
    for (let at = 0; at < bytes.length; at += TYPED_AT_ONCE) socket.send(bytes.slice(at, at + TYPED_AT_ONCE));
  }

  // ---- Taking in

  function take(message) {
    if (typeof message === "string") return hear(JSON.parse(message));
    const bytes = new Uint8Array(message);
    const missing = position.shown(bytes.length);
    if (missing) leaveOut(missing);
    const mine = turn;
    term.write(bytes, () => {
      if (mine !== turn) return;
      taken += bytes.length;
      if (taken - told >= TAKEN_EACH) word({ taken: (told = taken) });
    });
  }

  function hear(said) {
    if (said.open) return opened(said.open);
    if ("closed" in said) return closed(said);
    position.hear(said);
  }

  function opened(path) {
    silentSince = null;
    const hubs = [...new Set(path.hops.map((hop) => hop.hub))].join(" and ");
    byId("terminal-path").textContent = `${path.node}, through ${hubs}`;
    say(isReadOnly ? "read only" : "connected", "ok");
    note(movedFrom && `${movedFrom} did not answer. This is ${document.body.dataset.hub}; what was typed last may be lost.`);
    movedFrom = "";
    word({ taken: 0 });
    if (!isReadOnly) term.focus();
  }

  function closed(said) {
    const mine = socket;
    socket = null;
    if (mine) mine.close();
    if (said.kind === "ended" || said.kind === "invalid_state") {
      say("not running", "idle");
      note(`The console is not open: ${said.closed}. It opens by itself when the machine runs.`);
      if (position.offset === null) showLog();
      return again(NOT_RUNNING_MS);
    }
    say("not connected", "bad");
    if (NEVER_AGAIN.includes(said.kind) && !said.retryable) {
      byId("terminal-again").hidden = false;
      return note(said.closed);
    }
    note(`${said.closed}. What was typed last may be lost. Trying again.`);
    again(RETRY_MS);
  }

  // ---- The connection

  async function call(method, params) {
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
    const answer = await fetch("/rpc", { method: "POST", headers, body });
    if (answer.status === 401 || answer.status === 403) throw { kind: "unauthorized", closed: "The session has ended: load the page anew" };
    const { result, error } = await answer.json();
    if (error) throw { kind: error.data.kind, closed: error.message, retryable: error.data.retryable };
    return result;
  }

  async function connect() {
    clearTimeout(retryTimer);
    byId("terminal-again").hidden = true;
    const mine = ++turn;
    say("connecting", "busy");
    const begin = position.offset === null ? { tail: TAIL_BYTES } : { since: position.offset };
    const size = isReadOnly ? {} : { cols: term.cols, rows: term.rows };
    try {
      const params = { vm, mode: isReadOnly ? "ro" : "rw", ...(node ? { node } : {}), ...begin, ...size };
      const { url } = await call("vm.console.open", params);
      if (mine === turn) dial(url, mine);
    } catch (problem) {
      if (mine !== turn) return;
      if (problem.kind) closed(problem);
      else lost();
    }
  }

  function dial(url, mine) {
    const fresh = socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${url}`);
    fresh.binaryType = "arraybuffer";
    taken = told = 0;
    fresh.onmessage = (event) => { if (mine === turn) take(event.data); };
    fresh.onclose = () => { if (mine === turn && socket === fresh) lost(); };
  }

  function leave() {
    turn += 1;
    clearTimeout(retryTimer);
    if (socket) socket.close();
    socket = null;
  }

  function again(after) {
    clearTimeout(retryTimer);
    retryTimer = setTimeout(connect, after);
  }

  // No answer at all: this hub is gone, or restarts. After a while go where one answers.
  async function lost() {
    const mine = turn;
    socket = null;
    silentSince ||= performance.now();
    say("not connected", "bad");
    note(`${document.body.dataset.hub} does not answer. What was typed last may be lost. Trying again.`);
    if (performance.now() - silentSince >= LOST_AFTER_MS) {
      const other = await livingHub();
      if (mine !== turn) return;
      if (other) return location.assign(other);
      note(`${document.body.dataset.hub} does not answer, and no other hub that this page knows does. Trying again.`);
    }
    again(RETRY_MS);
  }

  async function livingHub() {
    for (const link of document.querySelectorAll("[data-other-hub]")) {
      const address = new URL(link.href);
      const lives = await fetch(new URL("/livez", address), { mode: "no-cors", cache: "no-store", signal: AbortSignal.timeout(2000) }).then(() => true, () => false);
      if (!lives) continue;
      address.search = new URLSearchParams({ ...(node ? { node } : {}), mode: isReadOnly ? "ro" : "rw", from: document.body.dataset.hub });
      return address.href;
    }
    return null;
  }

  async function showLog() {
    try {
      const log = await call("vm.console.log", { vm, ...(node ? { node } : {}), limit: TAIL_BYTES });
      if (position.offset !== null || !log.data) return;
      term.write(log.data.replaceAll(/\r?\n/g, "\r\n"));
      position.offset = log.next;
    } catch (problem) {
      console.warn("the log of the console cannot be read", problem);
    }
  }

  // ---- The page

  byId("terminal-mode").addEventListener("click", (event) => {
    isReadOnly = !isReadOnly;
    event.target.setAttribute("aria-pressed", String(isReadOnly));
    leave();
    connect();
  });
  byId("terminal-again").addEventListener("click", connect);
  for (const key of document.querySelectorAll("[data-key]")) {
    key.addEventListener("click", () => { type(key.dataset.key); term.focus(); });
  }
  addEventListener("pagehide", leave);
  connect();
})();
