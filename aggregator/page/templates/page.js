// Shows what is new without a reload: the server says that something happened, and the sections that differ are replaced.
"use strict";
(() => {
  const { events } = document.currentScript.dataset;
  let { position } = document.currentScript.dataset;
  const status = document.getElementById("live");
  let asked = false;
  let busy = false;

  function place(section) {
    const focused = section.contains(document.activeElement) ? document.activeElement : null;
    return focused && [...section.querySelectorAll("a, summary, input, figure")].indexOf(focused);
  }

  function replace(old, fresh) {
    const focused = place(old);
    const open = [...old.querySelectorAll("details")].map((one) => one.open);
    fresh.querySelectorAll("details").forEach((one, index) => { one.open = open[index] || false; });
    fresh.classList.add("fresh");
    old.replaceWith(fresh);
    if (focused !== null) fresh.querySelectorAll("a, summary, input, figure")[focused]?.focus();
  }

  function show(page) {
    const main = document.getElementById("main");
    const now = [...main.children];
    const next = [...page.getElementById("main").children];
    if (now.map((one) => one.id).join() !== next.map((one) => one.id).join()) {
      main.replaceChildren(...next.map((one) => document.importNode(one, true)));
      return;
    }
    now.forEach((old, index) => {
      const fresh = document.importNode(next[index], true);
      const before = old.cloneNode(true);
      before.classList.remove("fresh");
      before.querySelectorAll("details").forEach((one) => { one.open = false; });
      if (!before.classList.length) before.removeAttribute("class");
      if (!before.isEqualNode(fresh)) replace(old, fresh);
    });
    const nav = document.querySelector("header.site nav");
    const links = page.querySelector("header.site nav");
    if (!nav.isEqualNode(links)) nav.replaceWith(document.importNode(links, true));
  }

  async function refresh() {
    if (busy) { asked = true; return; }
    busy = true;
    try {
      do {
        asked = false;
        const answer = await fetch(location.href, { cache: "no-cache", credentials: "same-origin" });
        if (answer.ok) {
          const page = new DOMParser().parseFromString(await answer.text(), "text/html");
          position = page.querySelector("script[data-position]").dataset.position;
          show(page);
          status.textContent = `Brought up to date at ${new Date().toLocaleTimeString()}.`;
        }
      } while (asked);
    } catch {
      status.textContent = "The forge cannot be reached just now.";
    } finally {
      busy = false;
    }
  }

  const source = new EventSource(events);
  // the first message comes at once: what happened since the page was made is not missed
  source.addEventListener("changed", (message) => { if (message.data !== position) refresh(); });
  source.addEventListener("open", () => { status.textContent = "This page keeps itself up to date."; });
  source.addEventListener("error", () => { status.textContent = "The forge cannot be reached just now; trying again."; });
})();
