// The form of a fine-tune: what is not asked for is folded away, the name is looked at while it is typed, and what it would cost is
// said before it is asked. Without this script all of it is there at once.
"use strict";

function wizard(form) {
  const custom = document.getElementById("custom"), said = document.getElementById("name-said"), estimate = document.getElementById("estimate");
  const chosen = (name) => form.querySelector(`[name="${name}"]:checked`)?.value ?? "";
  const base = form.elements.base, again = form.elements.again;
  // Not `form.dataset`: a field of the form has that name.
  const address = form.getAttribute("data-base");

  // A strategy and settings are for those who want them; those in which something is wrong are always shown.
  const fold = () => {
    custom.hidden = chosen("effort") !== "custom" && !custom.querySelector("[aria-invalid=true]");
    base.closest(".field").hidden = chosen("choice") !== "";
    base.required = chosen("choice") === "";
  };

  let naming = 0;
  const look = async () => {
    const id = form.elements.name.value.trim();
    if (!id || id.endsWith("/")) return;
    const answer = await fetch(`${address}/check?${new URLSearchParams({ kind: "model", id })}`, { headers: { accept: "application/json" } });
    if (!answer.ok) return;
    const { state, message } = await answer.json();
    said.textContent = message;
    form.elements.name.setAttribute("aria-invalid", state === "refused" || (state === "taken" && !again.checked) ? "true" : "false");
  };

  // What it would cost, as the server reckons it; only the newest question is answered.
  let costing = 0, asked = 0;
  const reckon = async () => {
    if (!form.elements.dataset.value.trim() || (chosen("choice") === "" && !base.value.trim()) || !form.elements.name.value.trim()) return;
    if (chosen("choice") === "auto" || base.value.trim() === "auto" && chosen("choice") === "") {
      estimate.textContent = "What it takes depends on the base that is chosen.";
      return;
    }
    const turn = ++asked, body = new URLSearchParams(new FormData(form));
    body.set("estimate", "1");
    const answer = await fetch(form.action, { method: "POST", body, headers: { accept: "text/html" } });
    if (turn !== asked) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const cost = page.getElementById("expected"), problem = page.querySelector(".note.bad");
    estimate.textContent = cost ? cost.textContent.replace("Nothing was started.", "").trim() : problem ? problem.textContent.trim() : "";
  };

  const name = () => {
    const owner = form.elements.name.value.split("/")[0], last = (text) => text.split("@")[0].split("/").pop();
    const from = chosen("choice") || base.value, data = form.elements.dataset.value;
    if (!written && owner && from && from !== "auto" && data) form.elements.name.value = `${owner}/${last(from)}-${last(data)}`;
  };
  let written = !form.elements.name.value.endsWith("/");
  form.elements.name.addEventListener("input", () => { written = true; });

  form.addEventListener("input", () => {
    fold();
    name();
    clearTimeout(naming);
    naming = setTimeout(look, 300);
    clearTimeout(costing);
    costing = setTimeout(reckon, 1000);
  });
  // Of a click the button's own word is sent along; a change of a radio or a list comes as `input` too.
  fold();
  look();
  reckon();
}

const wizardForm = document.getElementById("wizard");
if (wizardForm) wizard(wizardForm);
