// Curves one can point at, zoom into by dragging, and take lines out of, drawn by uPlot from the numbers in the server's own drawing. That one stays
// in the page: for whoever has no script, and for paper.
"use strict";

const nameOf = (line) => `--series-${line.of.slice(1)}`;
const themed = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const drawn = new Map();

// What the server wrote beside each line's colour.
function labels(chart) {
  const all = new Map();
  for (const item of chart.querySelectorAll(":scope > .legend li")) {
    const key = item.querySelector(".key");
    if (key) all.set(key.classList[1], item.textContent.trim());
  }
  return all;
}

function shown(value) {
  if (value === null || value === undefined) return "–";
  return Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(4);
}

// An element of a class with a text.
function made(name, style, text = "") {
  const node = document.createElement(name);
  node.className = style;
  node.textContent = text;
  return node;
}

function options(plot, lines, width, said) {
  const axis = { stroke: () => themed("--quiet"), grid: { stroke: () => themed("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  const whole = (u, values) => values.map((value) => (Number.isInteger(value) ? value : ""));
  const range = (u, low, high) => (plot.bounds ? plot.bounds : [0, high > 0 ? high * 1.05 : 1]);
  const best = (u) => {
    if (plot.best === null || plot.best < u.scales.x.min || plot.best > u.scales.x.max) return;
    const at = Math.round(u.valToPos(plot.best, "x", true));
    u.ctx.save();
    u.ctx.strokeStyle = themed("--good");
    u.ctx.lineWidth = 2 * devicePixelRatio;
    u.ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
    u.ctx.beginPath();
    u.ctx.moveTo(at, u.bbox.top);
    u.ctx.lineTo(at, u.bbox.top + u.bbox.height);
    u.ctx.stroke();
    u.ctx.restore();
  };
  const tell = (u) => {
    const at = u.cursor.idx;
    if (at === null || at === undefined) {
      said.textContent = "Point at a line; drag to look closer, press twice to go back.";
      return;
    }
    const values = lines.map((line, number) => (u.series[number + 1].show ? `${line.label} ${shown(u.data[number + 1][at])}` : ""));
    said.textContent = `Epoch ${u.data[0][at]}: ${values.filter(Boolean).join(", ")}`;
  };
  return {
    width,
    height: Math.round(Math.min(260, Math.max(180, width * 0.36))),
    legend: { show: false },
    cursor: { y: false, points: { size: 7 } },
    scales: { x: { time: false }, y: { range } },
    axes: [{ ...axis, size: 32, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000], values: whole }, { ...axis, size: 48 }],
    series: [{}, ...lines.map((line) => ({ label: line.label, stroke: () => themed(nameOf(line)), width: 2, spanGaps: true, points: { show: plot.x.length <= 60, size: 6, fill: () => themed(nameOf(line)) } }))],
    hooks: { draw: [best], setCursor: [tell] },
  };
}

// A button for each line, which says whether it is drawn.
function keys(u, lines, chart) {
  const list = made("ul", "legend");
  lines.forEach((line, at) => {
    const button = made("button", "small quiet toggle");
    button.type = "button";
    button.ariaPressed = "true";
    button.append(made("span", `key ${line.of}`), line.label);
    button.addEventListener("click", () => {
      const on = button.ariaPressed !== "true";
      button.ariaPressed = String(on);
      u.setSeries(at + 1, { show: on });
    });
    const item = document.createElement("li");
    item.append(button);
    list.append(item);
  });
  const best = labels(chart).get("best");
  if (best) {
    const item = document.createElement("li");
    item.append(made("span", "key best"), best);
    list.append(item);
  }
  return list;
}

function read(svg) {
  const plot = JSON.parse(svg.dataset.plot);
  return { plot, data: [plot.x, ...plot.lines.map((line) => line.y)] };
}

function draw(chart) {
  const svg = chart.querySelector(":scope > svg[data-plot]");
  if (!svg) return;
  const { plot, data } = read(svg);
  const shape = JSON.stringify([plot.lines.map((line) => line.of), plot.x.length <= 60]);
  const known = drawn.get(chart);
  if (known && known.shape === shape) {
    Object.assign(known.plot, plot);
    known.u.setData(data);
    return;
  }
  known?.box.remove();
  known?.u.destroy();
  if (plot.x.length < 2) return;
  const named = labels(chart);
  const lines = plot.lines.map((line) => ({ ...line, label: named.get(line.of) ?? line.of }));
  const box = made("div", "drawn"), place = made("div", "place"), said = made("p", "hint", "Point at a line; drag to look closer, press twice to go back.");
  // What a person reads is in the table below it.
  box.dataset.own = "true";
  place.role = "img";
  place.ariaLabel = svg.getAttribute("aria-label");
  box.append(place);
  chart.append(box);
  const u = new uPlot(options(plot, lines, place.clientWidth, said), data, place);
  box.append(said, keys(u, lines, chart));
  drawn.set(chart, { u, box, plot, shape, place });
}

const all = () => document.querySelectorAll(".chart").forEach(draw);
all();
// The page of a job that runs says so when it has changed.
document.addEventListener("page-renewed", all);
new ResizeObserver(() => {
  for (const { u, place } of drawn.values()) if (place.clientWidth && place.clientWidth !== u.width) u.setSize({ width: place.clientWidth, height: u.height });
}).observe(document.querySelector("main"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const { u } of drawn.values()) u.redraw(); });
