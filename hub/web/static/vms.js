// Selecting machines: how many are chosen, and a bar that is open while some are. An open bar also
// keeps the page from renewing itself under a selection.
"use strict";

(() => {
  const picks = () => [...document.querySelectorAll('input[name="vm"][form="bulk"]')];

  function tell() {
    const bar = document.getElementById("bulk-bar");
    if (!bar) return;
    const chosen = picks().filter((pick) => pick.checked).length;
    document.getElementById("bulk-count").textContent = chosen ? `${chosen} selected` : "";
    if (chosen) bar.open = true;
  }

  function offerAll() {
    const head = document.querySelector(".vms thead th");
    if (!head || head.querySelector("input")) return;
    const all = Object.assign(document.createElement("input"), { type: "checkbox" });
    all.setAttribute("aria-label", "Select all on this page");
    all.addEventListener("change", () => { picks().forEach((pick) => { pick.checked = all.checked; }); tell(); });
    head.replaceChildren(all);
  }

  document.addEventListener("change", (event) => { if (event.target.matches('input[name="vm"]')) tell(); });
  offerAll();
  tell();
})();
