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
  for (const facet of document.querySelectorAll(".facets details")) {
    facet.open = !facet.classList.contains("fold") && facet.querySelector("[aria-current]") !== null;
  }
}

// What is wider than its place scrolls, also by the keyboard.
for (const region of document.querySelectorAll(".table, pre, .log")) {
  if (region.scrollWidth > region.clientWidth || region.scrollHeight > region.clientHeight) region.tabIndex = 0;
}

// Keys: / goes to the search, j and k through a list; Enter opens what has the focus, as everywhere.
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest('input:not([type="checkbox"], [type="radio"], [type="range"]), textarea, select, [contenteditable]');
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") {
    event.preventDefault();
    document.getElementById("q")?.select();
  } else if (event.key === "j" || event.key === "k") {
    const rows = [...document.querySelectorAll(".catalog .name, .grid .repo h3 a, .lines > li > a")];
    if (rows.length === 0) return;
    const at = rows.indexOf(document.activeElement);
    const to = event.key === "j" ? Math.min(at + 1, rows.length - 1) : Math.max(at - 1, 0);
    rows[to].focus();
    rows[to].scrollIntoView({ block: "nearest" });
  }
});

// Where the hub stands, if not at the root of its host.
const root = (document.querySelector(".top .search")?.getAttribute("action") ?? "/search").replace(/\/search$/, "");

// A field for words suggests names and values as they are typed.
for (const field of document.querySelectorAll("input[data-suggest]")) {
  const list = document.createElement("ul");
  list.className = "suggestions";
  list.id = `${field.id}-suggestions`;
  list.role = "listbox";
  list.ariaLabel = "Suggestions";
  list.hidden = true;
  field.after(list);
  field.role = "combobox";
  field.setAttribute("aria-controls", list.id);
  field.setAttribute("aria-autocomplete", "list");
  field.ariaExpanded = "false";
  let timer = 0;
  let asked = "";
  const close = () => {
    list.hidden = true;
    field.ariaExpanded = "false";
    field.removeAttribute("aria-activedescendant");
  };
  const leads = ({ kind, of, value }) => {
    if (of !== "name") return `${root}/${kind}s?${of}=${encodeURIComponent(value)}`;
    const path = value.split("/").map(encodeURIComponent).join("/");
    return kind === "dataset" ? `${root}/datasets/${path}` : `${root}/${path}`;
  };
  const show = (items) => {
    list.replaceChildren(...items.map((item, at) => {
      const line = document.createElement("li");
      line.role = "option";
      line.id = `${list.id}-${at}`;
      line.dataset.href = leads(item);
      const name = document.createElement("span");
      name.textContent = item.value;
      const about = document.createElement("small");
      const kind = item.kind === "dataset" ? "data set" : "model";
      about.textContent = item.of === "name" ? kind : `${item.of.replace("_", " ")}, ${item.count} ${kind}s`;
      line.append(name, about);
      line.addEventListener("pointerdown", (event) => { event.preventDefault(); location.assign(line.dataset.href); });
      return line;
    }));
    list.hidden = items.length === 0;
    field.ariaExpanded = String(items.length > 0);
  };
  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      asked = field.value.trim();
      if (asked.length < 2) return close();
      const answer = await fetch(`${root}/api/v1/suggest?limit=6&q=${encodeURIComponent(asked)}`).catch(() => null);
      if (answer?.ok && asked === field.value.trim() && document.activeElement === field) show((await answer.json()).items);
    }, 120);
  });
  field.addEventListener("keydown", (event) => {
    const lines = [...list.children];
    if (list.hidden || lines.length === 0) return;
    const at = lines.findIndex((line) => line.ariaSelected === "true");
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const to = event.key === "ArrowDown" ? (at + 1) % lines.length : (at <= 0 ? lines.length : at) - 1;
      lines.forEach((line, place) => { line.ariaSelected = String(place === to); });
      field.setAttribute("aria-activedescendant", lines[to].id);
    } else if (event.key === "Enter" && at >= 0) {
      event.preventDefault();
      location.assign(lines[at].dataset.href);
    } else if (event.key === "Escape") {
      event.preventDefault();
      close();
    }
  });
  field.addEventListener("blur", close);
}

// A choice of steps becomes a slider; the choice stays what the form sends.
for (const choice of document.querySelectorAll("select[data-slider]")) {
  const box = document.createElement("span");
  box.className = "slider";
  const slider = document.createElement("input");
  slider.type = "range";
  slider.min = 0;
  slider.max = choice.options.length - 1;
  slider.ariaLabel = `${choice.closest("fieldset")?.querySelector("legend")?.textContent ?? ""} ${choice.labels[0].textContent}`.trim();
  const said = document.createElement("output");
  // "At most" stands at its right end while it says nothing.
  const last = choice.name.startsWith("max");
  const place = () => (last && choice.selectedIndex === 0 ? slider.max : choice.selectedIndex - (last ? 1 : 0));
  const tell = () => {
    said.textContent = choice.options[choice.selectedIndex].text;
    slider.ariaValueText = said.textContent;
  };
  slider.value = place();
  slider.addEventListener("input", () => {
    const at = Number(slider.value);
    choice.selectedIndex = last ? (at === Number(slider.max) ? 0 : at + 1) : at;
    tell();
  });
  slider.addEventListener("change", () => choice.form.requestSubmit());
  tell();
  box.append(slider, said);
  choice.hidden = true;
  choice.after(box);
}
for (const box of document.querySelectorAll('.filters input[type="checkbox"]')) box.addEventListener("change", () => box.form.requestSubmit());

// At most six are compared.
const ticks = [...document.querySelectorAll('.catalog input[name="m"]')];
const ticked = document.getElementById("ticked");
for (const tick of ticks) {
  tick.addEventListener("change", () => {
    const on = ticks.filter((other) => other.checked).length;
    for (const other of ticks) other.disabled = on >= 6 && !other.checked;
    ticked.textContent = on === 0 ? "up to six, side by side" : `${on} of six ticked`;
  });
}
