// Small helps on every page; without this file all pages work, they only do not move by themselves.
"use strict";

(() => {
  const REFRESH_PAUSE_MS = 2000; // However much changes, a page looks again at most that often.
  const LOST_AFTER_MS = 2500; // A hub that restarts quickly is no news.
  const RETRY_MS = 2000;
  const body = document.body;
  const byId = (id) => document.getElementById(id);

  // ---- Making one tree equal to another without touching what is the same: focus, scrolling and
  // selection stay where they are.

  function sameKind(held, wanted) {
    return held.nodeType === wanted.nodeType && held.nodeName === wanted.nodeName;
  }

  function morph(held, wanted) {
    if (held.nodeType === Node.TEXT_NODE) {
      if (held.data !== wanted.data) held.data = wanted.data;
      return;
    }
    if (held.nodeType !== Node.ELEMENT_NODE) return;
    for (const { name } of [...held.attributes]) {
      if (!wanted.hasAttribute(name) && name !== "open") held.removeAttribute(name);
    }
    for (const { name, value } of wanted.attributes) {
      if (held.getAttribute(name) !== value) held.setAttribute(name, value);
    }
    morphChildren(held, wanted);
  }

  function morphChildren(held, wanted) {
    const fresh = [...wanted.childNodes];
    while (held.childNodes.length > fresh.length) held.lastChild.remove();
    fresh.forEach((node, index) => {
      const old = held.childNodes[index];
      if (!old) held.append(document.importNode(node, true));
      else if (sameKind(old, node)) morph(old, node);
      else old.replaceWith(document.importNode(node, true));
    });
  }

  // ---- Looking again

  let lookedAt = 0;
  let waiting = null;
  let isPaused = false;

  function isBusy() {
    const active = document.activeElement;
    const typing = active && active.matches("#content :is(input, select, textarea)");
    const open = document.querySelector("#content details[open], dialog[open]");
    const chosen = String(document.getSelection()).length > 0;
    const filled = [...document.querySelectorAll("#content form[method=post] :is(input, select)")].some(isFilled);
    return Boolean(typing || open || chosen || filled);
  }

  function isFilled(field) {
    if (field.type === "hidden") return false;
    if (field.type === "checkbox") return field.checked !== field.defaultChecked;
    if (field.tagName === "SELECT") {
      const before = [...field.options].findIndex((option) => option.defaultSelected);
      return field.selectedIndex !== Math.max(0, before);
    }
    return field.value !== field.defaultValue;
  }

  function lookSoon() {
    if (waiting || isPaused) return;
    const due = Math.max(0, lookedAt + REFRESH_PAUSE_MS - performance.now());
    waiting = setTimeout(() => {
      waiting = null;
      if (isBusy() || document.hidden) return;
      look().catch(() => {}); // The stream notices a hub that is gone, and says so.
    }, due);
  }

  async function look() {
    lookedAt = performance.now();
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (answer.redirected) return location.reload(); // The session has ended.
    if (!answer.ok || isBusy()) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const place of ["#content", ".head-title"]) {
      const wanted = fresh.querySelector(place);
      if (wanted) morph(document.querySelector(place), wanted);
    }
    tellTimes();
  }

  // ---- The stream of changes

  let stream = null;
  let lostTimer = null;
  let retryTimer = null;

  function follow() {
    clearTimeout(retryTimer);
    if (stream || document.hidden) return;
    stream = new EventSource("/stream");
    stream.onopen = () => { found(); lookSoon(); };
    stream.addEventListener("changed", lookSoon);
    stream.addEventListener("bye", () => { leave(); lost(`${body.dataset.hub} is stopping.`); retry(); });
    stream.onerror = () => { leave(); suspect(); retry(); };
  }

  function leave() {
    if (stream) stream.close();
    stream = null;
  }

  function retry() {
    clearTimeout(retryTimer);
    retryTimer = setTimeout(follow, RETRY_MS);
  }

  async function suspect() {
    const alive = await fetch("/livez", { cache: "no-store" }).then((answer) => answer.ok, () => false);
    if (alive) return look().catch(() => {}); // Perhaps only the session has ended: this finds out.
    if (!lostTimer) lostTimer = setTimeout(() => lost(`${body.dataset.hub} does not answer.`), LOST_AFTER_MS);
    if (byId("lost").hidden) say("reconnecting");
  }

  function lost(sentence) {
    const place = byId("lost");
    const links = [...document.querySelectorAll("[data-other-hub]")];
    place.replaceChildren(sentence + (links.length ? " The same page on: " : " It is tried again every few seconds."));
    links.forEach((link, index) => {
      if (index) place.append(", ");
      place.append(Object.assign(document.createElement("a"), { href: link.href, textContent: link.dataset.otherHub }));
    });
    place.hidden = false;
    say("not connected");
  }

  function found() {
    clearTimeout(lostTimer);
    lostTimer = null;
    byId("lost").hidden = true;
    say(isPaused ? "paused" : "live");
  }

  function say(word) {
    const place = byId("live-state");
    const sign = { live: "ok", paused: "idle", reconnecting: "busy" }[word] || "bad";
    if (place) place.replaceChildren(Object.assign(document.createElement("span"), { className: `mark mark-${sign}`, textContent: word }));
  }

  function startFollowing() {
    const button = byId("live-pause");
    button.hidden = false;
    button.addEventListener("click", () => {
      isPaused = !isPaused;
      button.setAttribute("aria-pressed", String(isPaused));
      button.textContent = isPaused ? "Resume" : "Pause";
      if (stream) found();
      lookSoon();
    });
    // A page in the background gives its connection back: browsers allow six for each hub.
    document.addEventListener("visibilitychange", () => (document.hidden ? leave() : follow()));
    addEventListener("pagehide", leave);
    follow();
  }

  // ---- Small things

  function tellTimes() {
    for (const place of document.querySelectorAll("time[datetime]")) {
      const moment = new Date(place.dateTime);
      if (!Number.isNaN(moment.getTime())) place.title = `${moment.toLocaleString()} here`;
    }
  }

  function offerCopies() {
    if (!navigator.clipboard) return;
    for (const heading of document.querySelectorAll(".shown-as h3")) {
      const button = Object.assign(document.createElement("button"), { className: "small quiet", type: "button", textContent: "Copy" });
      button.setAttribute("aria-label", `Copy: ${heading.textContent}`);
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(heading.parentNode.nextElementSibling.textContent);
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      });
      const row = Object.assign(document.createElement("div"), { className: "copied" });
      heading.replaceWith(row);
      row.append(heading, button);
    }
  }

  function shortenSearches() {
    for (const form of document.querySelectorAll("form.search")) {
      form.addEventListener("submit", () => {
        const empty = [...form.elements].filter((field) => field.name && !field.value);
        empty.forEach((field) => { field.disabled = true; });
        setTimeout(() => empty.forEach((field) => { field.disabled = false; }));
      });
    }
  }

  function listenForSlash() {
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target.matches("input, select, textarea")) return;
      const field = document.querySelector("[data-search]");
      if (field) { event.preventDefault(); field.focus(); field.select(); }
    });
  }

  // On a narrow screen the names of the pages are a strip that scrolls: show where this one is.
  function showPlace() {
    const strip = document.querySelector(".side nav");
    const here = strip && strip.querySelector("a[aria-current]");
    if (here) strip.scrollLeft = here.offsetLeft - (strip.clientWidth - here.offsetWidth) / 2;
  }

  // What takes longer than the rest of a page stands behind a link, and comes by itself here.
  async function loadPart(link) {
    const place = byId(link.dataset.part);
    link.textContent = "Counting these records …";
    try {
      const answer = await fetch(link.href, { headers: { accept: "text/html" } });
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(link.dataset.part);
      if (!answer.ok || answer.redirected || !fresh) throw new Error(`status ${answer.status}`);
      place.replaceChildren(...document.importNode(fresh, true).childNodes);
      tellTimes();
    } catch (error) {
      link.textContent = "These records could not be counted. Try again";
      console.warn("a part of the page did not come", error);
    }
  }

  for (const link of document.querySelectorAll("a[data-part]")) loadPart(link);
  for (const place of document.querySelectorAll(".console")) place.scrollTop = place.scrollHeight;
  tellTimes();
  showPlace();
  addEventListener("resize", showPlace);
  offerCopies();
  shortenSearches();
  listenForSlash();
  if (body.hasAttribute("data-live")) startFollowing();
})();
