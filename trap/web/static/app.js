"use strict";
// Keys for lists, and pages that keep themselves up to date. Everything works without it.

// j and k move through [data-rows] > [data-row], enter opens the row's first link, / searches, u goes back to the list.
const rows = () => [...document.querySelectorAll("[data-row]")];
const move = (step) => {
  const all = rows();
  if (!all.length) return;
  const at = all.findIndex((row) => row.classList.contains("at"));
  const next = all[Math.max(0, Math.min(all.length - 1, at + step))];
  if (at >= 0) all[at].classList.remove("at");
  next.classList.add("at");
  (next.querySelector("a") || next).focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
};
const follow = (selector) => {
  const link = document.querySelector(selector);
  if (link) link.click();
  return Boolean(link);
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest("input, textarea, select");
  if (typing) {
    if (event.key === "Escape") typing.blur();
    return;
  }
  const done = {
    // On a list they move through it, on a message they go to the neighbours.
    j: () => (rows().length ? (move(1), true) : follow("[rel=next]")),
    k: () => (rows().length ? (move(-1), true) : follow("[rel=prev]")),
    n: () => follow("[rel=next]"),
    p: () => follow("[rel=prev]"),
    u: () => follow("[data-up]"),
    "/": () => {
      const field = document.querySelector("input[type=search]");
      if (field) field.select();
      return Boolean(field);
    },
  }[event.key];
  if (done && done()) event.preventDefault();
});

// [data-live="/address"]: server-sent events named "html" bring new content for the elements whose id they name.
for (const place of document.querySelectorAll("[data-live]")) {
  const events = new EventSource(place.dataset.live);
  events.addEventListener("html", (event) => {
    for (const [id, html] of Object.entries(JSON.parse(event.data))) {
      const target = document.getElementById(id);
      if (target) target.innerHTML = html; // ours, escaped by the server as the page itself was
    }
  });
  events.addEventListener("open", () => place.classList.add("live"));
  events.addEventListener("error", () => place.classList.remove("live"));
  addEventListener("pagehide", () => events.close());
}
