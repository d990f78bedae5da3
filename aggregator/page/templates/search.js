// Looks through window.medforgeIndex: rows of what is found, its name, further words, and the page's address.
"use strict";
(() => {
  const MOST = 100;
  const words = document.getElementById("words");
  const found = document.getElementById("found");
  const count = document.getElementById("count");
  const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const rows = window.medforgeIndex.map((row) => [plain(row.slice(0, 3).join(" ")), row]);

  function line([kind, name, about, address]) {
    const item = document.createElement("li");
    const link = document.createElement("a");
    const more = document.createElement("span");
    link.href = address;
    // text, never markup: names and reasons are what contributors wrote
    link.textContent = name;
    link.dir = more.dir = "auto";
    more.textContent = about ? `${kind} · ${about}` : kind;
    item.append(link, more);
    return item;
  }

  function look() {
    const asked = plain(words.value).split(/\s+/).filter(Boolean);
    const hits = asked.length ? rows.filter(([text]) => asked.every((word) => text.includes(word))) : [];
    found.replaceChildren(...hits.slice(0, MOST).map(([, row]) => line(row)));
    const shown = hits.length > MOST ? `; the first ${MOST} are shown` : "";
    count.textContent = asked.length ? `${hits.length} found${shown}` : "";
  }

  words.value = new URLSearchParams(location.search).get("q") || "";
  words.addEventListener("input", look);
  look();
})();
