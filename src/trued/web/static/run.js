// Follows a run: what the server sends takes the place of what is shown. Without this, the page reloads itself.
"use strict";

const progress = document.getElementById("progress");
const statusLine = document.getElementById("status");

if (progress && progress.dataset.events) {
  const source = new EventSource(progress.dataset.events);
  source.addEventListener("progress", (event) => {
    const news = JSON.parse(event.data);
    const open = progress.querySelector("details")?.open;
    progress.innerHTML = news.html; // escaped by the server's template
    if (open) progress.querySelector("details")?.setAttribute("open", "");
    if (statusLine.textContent !== news.status) statusLine.textContent = news.status; // read aloud, so only when it changes
  });
  source.addEventListener("over", () => {
    source.close();
    location.reload();
  });
}
