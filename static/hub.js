// Small conveniences; every page works without them.
"use strict";

// A button beside each command copies it.
for (const block of document.querySelectorAll(".command")) {
  if (!navigator.clipboard) break;
  const button = document.createElement("button");
  button.className = "small quiet";
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(block.querySelector("code").textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  block.append(button);
}

// On a narrow screen the filters would push the results out of sight: those not in use fold up.
if (window.matchMedia("(max-width: 60rem)").matches) {
  for (const facet of document.querySelectorAll(".facets details")) facet.open = facet.querySelector("[aria-current]") !== null;
}

// A running job's page follows its events: progress moves the bar, anything else fetches the page's new inside.
const job = document.getElementById("job");
if (job && job.dataset.live === "true") {
  let timer = 0;
  const renew = () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      // What somebody is writing stays.
      if (!answer.ok || document.querySelector("details.act[open]")) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("job");
      if (!fresh) return;
      const log = document.querySelector(".log");
      const atEnd = !log || log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
      document.getElementById("job").innerHTML = fresh.innerHTML;
      document.title = page.title;
      const renewed = document.querySelector(".log");
      if (renewed && atEnd) renewed.scrollTop = renewed.scrollHeight;
      if (fresh.dataset.live !== "true") events.close();
    }, 150);
  };
  const events = new EventSource(job.dataset.events);
  events.addEventListener("progress", (event) => {
    const { body } = JSON.parse(event.data);
    const bar = document.getElementById("progress");
    if (bar && body.total_steps) bar.value = (100 * body.step) / body.total_steps;
  });
  for (const kind of ["state", "epoch", "log", "result"]) events.addEventListener(kind, renew);
}
