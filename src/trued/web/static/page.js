// A little more than the page does without it: keys, search as you type, votes in place, copying. Nothing depends on it.
"use strict";

const field = document.getElementById("find");
const entries = () => [...document.querySelectorAll("[data-entry]")];
const writing = (target) => target.closest("input, select, textarea, [contenteditable]") !== null;
let current = -1;

function go(to) {
  const all = entries();
  if (!all.length) return;
  all[current]?.removeAttribute("data-current");
  current = Math.max(0, Math.min(all.length - 1, to));
  all[current].setAttribute("data-current", "");
  all[current].querySelector("h2 a").focus({ preventScroll: true });
  all[current].scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (writing(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "/") {
    event.preventDefault();
    field.focus();
    field.select();
  } else if (event.key === "j") go(current + 1);
  else if (event.key === "k") go(current - 1);
  else if (event.key === "o") entries()[current]?.querySelector("h2 a").click();
});

// Search as you type: words at once, and meaning too after a pause. On other pages the field is a plain form.
// The address always names what is shown. One visit to the field is one step back, and "Show more" is none.
const results = document.getElementById("results");
if (results) {
  const filters = document.querySelector("form.filters");
  const textOf = (address) => new URLSearchParams(address).get("q") ?? "";
  let timer, pause, request;
  let address = location.search; // of what is shown
  let stepped = false; // whether this visit to the field has made its step

  const load = async (next, mode) => {
    request?.abort();
    request = new AbortController();
    const query = new URLSearchParams(next);
    if (mode) query.set("mode", mode);
    query.set("part", "1");
    try {
      const answer = await fetch(`/search?${query}`, { signal: request.signal, headers: { Accept: "text/html" } });
      return answer.ok ? await answer.text() : null;
    } catch (error) {
      if (error.name !== "AbortError") throw error;
      return null;
    }
  };
  const show = (html, next) => {
    results.innerHTML = html; // escaped by the server's template
    address = next;
    current = -1;
    const q = textOf(next);
    document.querySelector(".heading h1").textContent = q || "Search";
    document.title = `${q || "Search"} · trued`;
    if (filters?.elements.q) filters.elements.q.value = q;
    filters?.querySelector("a.clear")?.setAttribute("href", `/search?${new URLSearchParams({ q })}`);
  };
  const search = async (mode) => {
    const query = new URLSearchParams(address);
    if (textOf(address) !== field.value) query.delete("page");
    query.set("q", field.value);
    const next = `?${query}`;
    const html = await load(next, mode);
    if (html === null || results.contains(document.activeElement)) return; // not under the hands of who reads it
    if (!stepped && textOf(address) && textOf(address) !== field.value) {
      history.replaceState({ top: scrollY }, "");
      history.pushState(null, "", next);
      stepped = true;
    } else history.replaceState(history.state, "", next);
    show(html, next);
  };
  const stop = () => {
    clearTimeout(timer);
    clearTimeout(pause);
  };
  field.addEventListener("input", () => {
    stop();
    timer = setTimeout(() => search("keyword"), 120);
    pause = setTimeout(() => search(null), 900);
  });
  field.addEventListener("blur", () => (stepped = false));
  field.form.addEventListener("submit", (event) => {
    event.preventDefault(); // the filters stay
    stop();
    search(null);
  });
  results.addEventListener("click", async (event) => {
    const more = event.target.closest(".more a");
    if (!more || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    stop();
    const query = new URLSearchParams(address);
    query.set("page", String(Number(query.get("page") ?? 1) + 1));
    const next = `?${query}`;
    const before = entries().length;
    const html = await load(next);
    if (html === null) return;
    history.replaceState(history.state, "", next);
    show(html, next);
    entries()[before]?.querySelector("h2 a").focus({ preventScroll: true });
  });
  addEventListener("popstate", async (event) => {
    const next = location.search;
    if (next === address) return; // a place within the page
    stop();
    const html = await load(next);
    if (html === null) return location.reload();
    field.value = textOf(next);
    show(html, next);
    scrollTo(0, event.state?.top ?? 0);
  });
}

// Filters take effect on a button, or at once when they are changed by pointer: an arrow key only looks through a list.
for (const form of document.querySelectorAll("form.filters")) {
  let pointer = false;
  form.addEventListener("pointerdown", () => (pointer = true));
  form.addEventListener("keydown", () => (pointer = false));
  form.addEventListener("change", (event) => {
    if (pointer && event.target.matches("select, input[type=checkbox]")) form.requestSubmit();
  });
}

// A vote or a mark changes its own button, and the page and the focus stay where they are.
document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form.vote, form.toggle");
  if (!form) return;
  event.preventDefault();
  const button = form.querySelector("button");
  if (button.getAttribute("aria-busy") === "true") return; // not disabled: that would take the focus away
  button.setAttribute("aria-busy", "true");
  const body = new URLSearchParams(new FormData(form));
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(String(answer.status));
    const state = await answer.json();
    const on = body.get("on") === "1";
    if (form.matches(".vote")) showVote(button, state.voted);
    else button.querySelector("span").textContent = on ? form.dataset.on : form.dataset.off;
    if (form.action.endsWith("/read")) form.closest("[data-entry]")?.classList.toggle("read", on);
    button.setAttribute("aria-pressed", String(on));
    form.elements.on.value = on ? "0" : "1";
  } catch {
    form.submit(); // the plain way, which also says what went wrong
  } finally {
    button.removeAttribute("aria-busy");
  }
});

function showVote(button, voted) {
  const before = Number(/\d+/.exec(button.textContent)[0]);
  const after = before + (voted ? 1 : -1);
  button.textContent = `▲ ${after}`;
  const title = button.getAttribute("aria-label").replace(/^(Upvote|Take back the upvote of) /, "").replace(/, \d+ now$/, "");
  button.setAttribute("aria-label", `${voted ? "Take back the upvote of" : "Upvote"} ${title}, ${after} now`);
}

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  });
}
