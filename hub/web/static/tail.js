// The page of a live tail: shows rows as this hub takes them in, and goes on without a hole after a
// pause, a break of the connection, or a time in the background.
"use strict";

(() => {
  const ROWS_MAX = 2000;
  const RETRY_MS = 2000;
  const LEVELS = [[21, "fatal"], [17, "error"], [13, "warn"], [9, "info"], [5, "debug"], [1, "trace"]];
  const byId = (id) => document.getElementById(id);
  const place = byId("tail");
  if (!place) return;

  const question = JSON.parse(place.dataset.question);
  const position = new TailPosition();
  const list = byId("tail-rows");
  const button = byId("tail-pause");
  let connection = null;
  let retryTimer = null;
  let isPaused = false;
  let shown = 0;

  // ---- Showing

  function make(name, properties, ...children) {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  }

  function text(value) {
    if (value === null || value === undefined) return "";
    return typeof value === "string" ? value : JSON.stringify(value);
  }

  function levelOf(number) {
    const found = LEVELS.find(([least]) => number >= least);
    return found ? found[1] : "unset";
  }

  function moment(time) {
    return time.replace("T", " ").replace("Z", "").slice(0, 23);
  }

  function item(row) {
    const said = text(row.body);
    const summary = make("summary", {},
      make("time", { dateTime: row.time, textContent: moment(row.time) }),
      make("span", { className: "level", textContent: row.severity || "–" }),
      make("span", { className: "origin", textContent: row.node }),
      make("span", { className: "service", textContent: row.service || row.event_name || "" }),
      make("span", { className: "said", textContent: said.split("\n", 1)[0] }));
    const details = make("details", { className: `record level-${levelOf(row.severity_number)}` }, summary);
    // Most records are never opened, so what is inside is made when one is.
    details.addEventListener("toggle", () => details.append(whole(row, said)), { once: true });
    return make("li", {}, details);
  }

  function whole(row, said) {
    const pairs = make("dl", { className: "pairs" });
    const tell = (name, value) => { if (value) pairs.append(make("dt", { textContent: name }), make("dd", { textContent: text(value) })); };
    tell("event", row.event_name);
    tell("trace", row.trace_id);
    for (const [key, value] of Object.entries(row.attributes || {})) tell(key, text(value));
    for (const [key, value] of Object.entries(row.resource || {})) tell(`resource ${key}`, text(value));
    tell("chunk", `${row.epoch} / ${row.seq} / ${row.index}`);
    return make("div", { className: "whole" }, make("pre", { tabIndex: 0, textContent: said }), pairs);
  }

  function showRows(rows) {
    shown += rows.length;
    list.prepend(...rows.slice(-ROWS_MAX).reverse().map(item));
    while (list.childElementCount > ROWS_MAX) list.lastElementChild.remove();
    const kept = list.childElementCount;
    byId("tail-count").textContent = `${shown.toLocaleString("en")} records so far, newest first` + (kept < shown ? `, the last ${kept.toLocaleString("en")} are kept` : "");
    byId("tail-empty").hidden = true;
  }

  function note(sentence) {
    list.prepend(make("li", { className: "note", textContent: sentence }));
  }

  function say(word) {
    const sign = { live: "ok", paused: "idle", connecting: "busy" }[word] || "bad";
    byId("tail-state").replaceChildren(make("span", { className: `mark mark-${sign}`, textContent: word }));
  }

  // ---- Taking in

  function take(event, data) {
    if (event === "rows") showRows(data.rows);
    if (event === "gap") for (const gap of data.gaps) note(`${data.origin} declares lost: ${gap.records} ${gap.signal} records (${gap.reason})`);
    if (event === "unreadable") note(`A chunk of ${data.origin} cannot be read here: ${data.reason}`);
    if (event === "gone") note(`What ${data.origin} sent meanwhile is gone here: ${data.reason}`);
    if (event === "lag") byId("tail-lag").textContent = data.chunks ? `behind by ${data.chunks.toLocaleString("en")} chunks` : "";
    position.fold(event, data);
  }

  function takeMessage(message) {
    const fields = {};
    for (const line of message.split("\n")) {
      const [, name, value] = /^([^:]*): ?(.*)$/.exec(line) || [];
      if (name) fields[name] = value;
    }
    if (fields.data) take(fields.event, JSON.parse(fields.data));
  }

  async function read(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let held = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      held += value;
      const messages = held.split("\n\n");
      held = messages.pop();
      messages.forEach(takeMessage);
    }
  }

  // ---- The connection

  async function follow() {
    clearTimeout(retryTimer);
    if (connection || isPaused || document.hidden) return;
    const mine = connection = new AbortController();
    say("connecting");
    try {
      const asked = position.isWhole ? { ...question, since: undefined, position: position.toWire() } : question;
      const headers = { "content-type": "application/json", "x-csrf-token": place.dataset.csrf };
      const answer = await fetch("/tail", { method: "POST", headers, body: JSON.stringify(asked), signal: mine.signal });
      if (answer.status >= 400 && answer.status < 500) return refuse(answer);
      if (answer.ok) {
        say("live");
        await read(answer.body);
      }
    } catch (error) {
      if (mine.signal.aborted) return;
      console.warn("the tail was cut off", error);
    } finally {
      if (connection === mine) connection = null;
    }
    if (isPaused || document.hidden || mine.signal.aborted) return;
    say("not connected, trying again");
    retryTimer = setTimeout(follow, RETRY_MS);
  }

  async function refuse(answer) {
    isPaused = true;
    const problem = await answer.json().catch(() => ({}));
    say(answer.status === 401 || answer.status === 403 ? "the session has ended, load the page anew" : problem.detail || `refused with status ${answer.status}`);
  }

  function leave() {
    clearTimeout(retryTimer);
    if (connection) connection.abort();
    connection = null;
  }

  button.hidden = false;
  button.addEventListener("click", () => {
    isPaused = !isPaused;
    button.setAttribute("aria-pressed", String(isPaused));
    button.textContent = isPaused ? "Resume" : "Pause";
    if (!isPaused) return follow();
    leave();
    say("paused");
  });
  // A page in the background gives its connection back: browsers allow six for each hub.
  document.addEventListener("visibilitychange", () => (document.hidden ? leave() : follow()));
  addEventListener("pagehide", leave);
  follow();
})();
