// Follows a run, or looks at the list again, and puts the new content in the place of the old one.
"use strict";

const theirs = location.hash.match(/^#job\/(\d+)(?:\/run\/(\d+))?/); // how Databricks clients link to a page
if (theirs) location.replace(theirs[2] ? "/runs/" + theirs[2] : "/?job=" + theirs[1]);

const main = () => document.querySelector("main");
let asking = false, again = false;

async function refresh() {
  if (asking) { again = true; return; }
  asking = true;
  again = false;
  try {
    const answer = await fetch(location.pathname + location.search, { credentials: "same-origin" });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
    if (answer.ok && fresh) {
      const open = new Set([...document.querySelectorAll("details[open]")].map((one) => one.dataset.key));
      for (const one of fresh.querySelectorAll("details")) one.open = open.has(one.dataset.key);
      main().replaceWith(fresh);
    }
  } catch { /* the server is away: the next look will tell */ }
  setTimeout(() => { asking = false; if (again) refresh(); }, 1000);
}

const live = main().dataset.live;
if (live === "poll") {
  setInterval(() => { if (!document.hidden) refresh(); }, 5000);
} else if (live) {
  const events = new EventSource(live);
  events.addEventListener("change", refresh);
  events.addEventListener("end", () => { events.close(); refresh(); });
}
