// A running job's page follows its events. Only what changed on the page is changed in the document, so that neither the focus nor the
// place one has scrolled to is lost; between two events the time that is left counts down by itself.
"use strict";

// Makes `here` like `fresh`, node by node.
function morph(here, fresh) {
  if (here.nodeType !== fresh.nodeType || here.nodeName !== fresh.nodeName) {
    here.replaceWith(document.importNode(fresh, true));
    return;
  }
  if (here.nodeType !== Node.ELEMENT_NODE) {
    if (here.nodeValue !== fresh.nodeValue) here.nodeValue = fresh.nodeValue;
    return;
  }
  // What somebody is writing, or has opened, stays.
  const kept = here.nodeName === "DETAILS" ? ["open"] : [];
  for (const { name } of [...here.attributes]) if (!kept.includes(name) && !fresh.hasAttribute(name)) here.removeAttribute(name);
  for (const { name, value } of [...fresh.attributes]) if (!kept.includes(name) && here.getAttribute(name) !== value) here.setAttribute(name, value);
  if (["INPUT", "SELECT", "TEXTAREA"].includes(here.nodeName)) return;
  const atEnd = here.classList.contains("log") && here.scrollTop + here.clientHeight >= here.scrollHeight - 4;
  // What a script of ours has put there is its own business.
  const old = [...here.childNodes].filter((node) => !node.dataset?.own), young = [...fresh.childNodes];
  // A section that came between two is put there, and those behind it are not made anew.
  let at = 0;
  for (const node of young) {
    const match = old.slice(at).findIndex((one) => alike(one, node));
    if (match === 0) {
      morph(old[at++], node);
    } else if (match > 0 && old.slice(at, at + match).every((one) => !young.some((other) => alike(one, other)))) {
      for (; !alike(old[at], node); at++) old[at].remove();
      morph(old[at++], node);
    } else {
      here.insertBefore(document.importNode(node, true), old[at] ?? null);
    }
  }
  for (; at < old.length; at++) old[at].remove();
  if (atEnd) here.scrollTop = here.scrollHeight;
}

// Whether two nodes are the same part of the page: a section by its heading, a form by where it leads, a row by its first cell, any other by
// its first class.
function alike(one, other) {
  if (one.nodeType !== other.nodeType || one.nodeName !== other.nodeName) return false;
  if (one.nodeType !== Node.ELEMENT_NODE) return true;
  const name = (node) => node.id || node.getAttribute("action") || (node.nodeName === "SECTION" ? node.querySelector("h2")?.textContent : "") || (node.nodeName === "TR" ? node.firstElementChild?.textContent : "") || node.classList[0] || "";
  return name(one) === name(other);
}

function spanOf(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

function follow(job) {
  let timer = 0, last = null;
  const renew = () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const answer = await fetch(location.href, { credentials: "same-origin", headers: { accept: "text/html" } });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("job-report");
      if (!fresh) return;
      morph(job, fresh);
      document.title = page.title;
      document.dispatchEvent(new Event("page-renewed"));
      if (fresh.dataset.live !== "true") events.close();
    }, 200);
  };
  const say = () => {
    const said = document.getElementById("progress-said");
    if (!said || !last || job.dataset.live !== "true") return;
    const left = last.eta - (performance.now() - last.at) / 1000;
    const rate = last.rate < 10 ? last.rate.toFixed(1) : Math.round(last.rate);
    said.textContent = last.rate > 0 ? `${last.stage}: ${rate} items/s${left >= 1 ? `, ${spanOf(left)} left` : ""}` : last.stage;
  };
  const events = new EventSource(job.dataset.events);
  events.addEventListener("progress", (event) => {
    const { body } = JSON.parse(event.data), bar = document.getElementById("progress");
    if (bar && body.total_steps) bar.value = (100 * body.step) / body.total_steps;
    // At the first step of a stage nothing is known of its pace: what was known of one of its kind still holds.
    const same = last && last.stage.split(" ")[0] === body.stage.split(" ")[0];
    const known = body.images_per_second > 0;
    last = { stage: body.stage, rate: known ? body.images_per_second : same ? last.rate : 0, eta: known ? body.eta_seconds : same ? last.eta - (performance.now() - last.at) / 1000 : 0, at: performance.now() };
    say();
  });
  setInterval(say, 1000);
  for (const kind of ["state", "epoch", "log", "result"]) events.addEventListener(kind, renew);
}

const report = document.getElementById("job-report");
if (report && report.dataset.live === "true") follow(report);
