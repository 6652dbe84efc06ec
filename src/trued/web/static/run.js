// Follows a run: what the server sends takes the place of what is shown. Without this, the page reloads itself.
"use strict";

const shown = document.getElementById("progress");
const said = document.getElementById("said");

if (shown && shown.dataset.events) {
  const source = new EventSource(shown.dataset.events);
  source.addEventListener("progress", (event) => {
    const news = JSON.parse(event.data);
    const open = shown.querySelector("details")?.open;
    shown.innerHTML = news.html; // escaped by the server's template
    if (open) shown.querySelector("details")?.setAttribute("open", "");
    if (said.textContent !== news.said) said.textContent = news.said; // read aloud, so only when it changes
  });
  source.addEventListener("over", () => {
    source.close();
    location.reload();
  });
}
