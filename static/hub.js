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
