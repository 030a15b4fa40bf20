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
      if (!target) continue;
      const held = target.contains(document.activeElement) && document.activeElement.getAttribute("href");
      target.innerHTML = html; // ours, escaped by the server as the page itself was
      if (held) target.querySelector(`[href="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
    }
  });
  events.addEventListener("open", () => place.classList.add("live"));
  events.addEventListener("error", () => place.classList.remove("live"));
  addEventListener("pagehide", () => events.close());
}

// nav[data-more] stands behind a list; when its end comes near, the next page is fetched in its place.
let pagesToFetch = 20; // then the link itself is there to click
const ends = new IntersectionObserver(async (seen) => {
  const nav = seen.find((each) => each.isIntersecting)?.target;
  const link = nav?.querySelector("[rel=next]");
  if (!link || pagesToFetch-- <= 0) return;
  ends.unobserve(nav);
  const address = new URL(link.href);
  address.searchParams.set("part", "rows");
  const answer = await fetch(address).catch(() => null);
  if (!answer || !answer.ok || answer.redirected) return;
  nav.outerHTML = await answer.text(); // ours, escaped as the page itself was
  watchEnd();
}, { rootMargin: "0px 0px 1500px" });
const watchEnd = () => {
  const nav = document.querySelector("[data-more]");
  if (nav) ends.observe(nav);
};
watchEnd();

// Whoever comes back from a message comes back to its line: [data-page] says which page of the list has it.
document.addEventListener("click", (event) => {
  const row = event.target.closest("[data-page] [data-row]");
  if (row && row.id && event.target.closest("a")) history.replaceState(null, "", row.closest("[data-page]").dataset.page + "#" + row.id);
});
addEventListener("pageshow", () => {
  const row = document.getElementById(location.hash.slice(1));
  if (row?.matches("[data-row]")) {
    for (const each of rows()) each.classList.toggle("at", each === row);
  }
});

// [data-folded] is open on wide screens only.
for (const part of document.querySelectorAll("details[data-folded]")) {
  if (matchMedia("(max-width: 60rem)").matches) part.open = false;
}
