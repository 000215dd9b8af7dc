// Data sets from the browser: what is chosen is looked at here, packed where it is many files, summed up in a worker, and sent in
// parts. Whatever the server has is not sent again: after a reload, or a line that broke, the same files go on where they stood.
"use strict";

const PARTS = { bytes: 8 << 20, atOnce: 3, tries: 8 };
// As the command line does: more loose files travel as one archive.
const LOOSE = 100;
const SHOWN = { classes: 24, pictures: 6, problems: 200 };
const PICTURES = new Set(["jpg", "jpeg", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff"]);
const SHARDS = new Set(["parquet", "arrow", "tfrecord", "zip", "tar", "gz", "tgz", "zst", "xz", "bz2", "7z", "rar", "safetensors", "npz"]);
const SPLITS = { train: "train", training: "train", val: "val", valid: "val", validation: "val", dev: "val", test: "test", testing: "test", unlabeled: "unlabeled" };
const LITTER = new Set(["thumbs.db", "desktop.ini", "__macosx", "ehthumbs.db"]);

const $ = (id) => document.getElementById(id);
const ending = (path) => (path.includes(".") ? path.slice(path.lastIndexOf(".") + 1).toLowerCase() : "");
const plural = (count, word, many = `${word}s`) => `${count.toLocaleString("en")} ${count === 1 ? word : many}`;

function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (bytes >= 999.5 && at < units.length - 1) { bytes /= 1000; at++; }
  return `${at === 0 ? bytes : bytes.toPrecision(3)} ${units[at]}`;
}

function span(seconds) {
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

// Elements are made, never written as HTML: names of files are strangers' words.
function element(tag, attributes = {}, ...inside) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) made.setAttribute(name, value);
  made.append(...inside);
  return made;
}

// ---- what is remembered between two visits: sums of files, and the folder, where the browser lends it

const memory = {
  open() {
    this.opened ??= new Promise((resolve, reject) => {
      const asked = indexedDB.open("hub-upload", 1);
      asked.onupgradeneeded = () => asked.result.createObjectStore("kept");
      asked.onsuccess = () => resolve(asked.result);
      asked.onerror = () => reject(asked.error);
    });
    return this.opened;
  },
  async act(mode, story) {
    try {
      const store = (await this.open()).transaction("kept", mode).objectStore("kept");
      const asked = story(store);
      return await new Promise((resolve) => { asked.onsuccess = () => resolve(asked.result); asked.onerror = () => resolve(undefined); });
    } catch {
      return undefined;
    }
  },
  get(key) { return this.act("readonly", (store) => store.get(key)); },
  put(key, value) { return this.act("readwrite", (store) => store.put(value, key)); },
  forget(key) { return this.act("readwrite", (store) => store.delete(key)); },
};

// ---- files as they are chosen

async function fromEntry(entry, path, found) {
  if (entry.isFile) {
    found.push({ path: path + entry.name, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return;
    for (const inner of some) await fromEntry(inner, `${path}${entry.name}/`, found);
  }
}

async function fromHandle(handle, path, found) {
  if (handle.kind === "file") {
    found.push({ path: path + handle.name, file: await handle.getFile() });
    return;
  }
  for await (const inner of handle.values()) await fromHandle(inner, `${path}${handle.name}/`, found);
}

function tidy(all) {
  const left = { hidden: [], empty: [], large: [] }, kept = [];
  const largest = Number($("upload").dataset.largest) || Infinity;
  for (const one of all) {
    const parts = one.path.split("/");
    if (parts.some((part) => part.startsWith(".") || LITTER.has(part.toLowerCase()))) left.hidden.push(one.path);
    else if (one.file.size === 0) left.empty.push(one.path);
    else if (one.file.size > largest) left.large.push(one.path);
    else kept.push(one);
  }
  // Of the folder that was chosen, what is in it is meant, unless its name is that of a split.
  const first = kept.length > 0 && kept[0].path.includes("/") ? kept[0].path.split("/")[0] : "";
  const inOne = first && !SPLITS[first.toLowerCase()] && kept.every((one) => one.path.startsWith(`${first}/`));
  if (inOne) for (const one of kept) one.path = one.path.slice(first.length + 1);
  kept.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  return { kept, left };
}

// ---- what is in a zip, from its list at the end

async function listZip(file) {
  const tail = new DataView(await file.slice(Math.max(0, file.size - 66000)).arrayBuffer());
  let end = -1;
  for (let at = tail.byteLength - 22; at >= 0; at--) if (tail.getUint32(at, true) === 0x06054b50) { end = at; break; }
  if (end < 0) return null;
  const bytes = tail.getUint32(end + 12, true), from = tail.getUint32(end + 16, true);
  if (from === 0xffffffff || bytes > 64 << 20) return null;
  const list = new DataView(await file.slice(from, from + bytes).arrayBuffer()), entries = [];
  for (let at = 0; at + 46 <= list.byteLength && list.getUint32(at, true) === 0x02014b50;) {
    const names = list.getUint16(at + 28, true);
    const name = new TextDecoder().decode(new Uint8Array(list.buffer, at + 46, names));
    const entry = { path: name, method: list.getUint16(at + 10, true), packed: list.getUint32(at + 20, true), bytes: list.getUint32(at + 24, true), from: list.getUint32(at + 42, true), zip: file };
    if (!name.endsWith("/")) entries.push(entry);
    at += 46 + names + list.getUint16(at + 30, true) + list.getUint16(at + 32, true);
  }
  return entries;
}

async function unpacked(entry) {
  const head = new DataView(await entry.zip.slice(entry.from, entry.from + 30).arrayBuffer());
  const begin = entry.from + 30 + head.getUint16(26, true) + head.getUint16(28, true);
  const bytes = entry.zip.slice(begin, begin + entry.packed);
  if (entry.method === 0) return bytes;
  if (entry.method !== 8 || entry.bytes > 32 << 20 || typeof DecompressionStream === "undefined") throw new Error("packed otherwise");
  return new Response(bytes.stream().pipeThrough(new DecompressionStream("deflate-raw"))).blob();
}

// ---- classes, splits and problems

// A first look by the folders alone, as most data lie: a folder for each class, perhaps below one for each split, or with those in it.
// What the data are, the server says.
function standing(folders) {
  const word = (at) => SPLITS[(folders.at(at) ?? "").toLowerCase()];
  if (folders.length > 0 && word(0)) return { split: word(0), folders: folders.slice(1) };
  if (folders.length > 1 && word(-1)) return { split: word(-1), folders: folders.slice(0, -1) };
  return { split: "train", folders };
}

// Each item's split and class; folders that are wrapped around all of them are none.
function placed(items) {
  const unwrap = (all) => {
    while (all.length > 0 && !SPLITS[(all[0].folders[0] ?? "").toLowerCase()] && all.every((one) => one.folders.length > 1 && one.folders[0] === all[0].folders[0])) for (const one of all) one.folders = one.folders.slice(1);
    return all;
  };
  const all = unwrap(unwrap(items.map((item) => ({ folders: item.path.split("/").slice(0, -1) }))).map((one) => standing(one.folders)));
  return all.map((one) => ({ split: one.split, class: one.split === "unlabeled" ? "(without a class)" : one.folders[0] }));
}

async function look(kept) {
  const found = { items: [], other: [], papers: [], tables: [], closed: [], classes: new Map(), splits: new Set() };
  for (const one of kept) {
    const kind = ending(one.path);
    if (kind === "zip") {
      const entries = await listZip(one.file).catch(() => null);
      if (!entries) { found.closed.push(one.path); continue; }
      const inner = entries.filter((entry) => !entry.path.split("/").some((part) => part.startsWith(".") || LITTER.has(part.toLowerCase())));
      const first = inner.length > 0 && inner[0].path.includes("/") ? inner[0].path.split("/")[0] : "";
      const inOne = first && !SPLITS[first.toLowerCase()] && inner.every((entry) => entry.path.startsWith(`${first}/`) && entry.path.split("/").length > 2);
      for (const entry of inner) {
        if (inOne) entry.path = entry.path.slice(first.length + 1);
        if (PICTURES.has(ending(entry.path))) found.items.push({ path: entry.path, read: () => unpacked(entry) });
        else found.other.push(entry.path);
      }
    } else if (PICTURES.has(kind)) found.items.push({ path: one.path, read: async () => one.file });
    else if (["parquet", "csv", "jsonl", "tsv", "arrow"].includes(kind)) found.tables.push(one.path);
    else if (SHARDS.has(kind)) found.closed.push(one.path);
    else if (!one.path.includes("/") && (kind === "md" || /^licen[cs]e/i.test(one.path))) found.papers.push(one.path);
    else found.other.push(one.path);
  }
  const places = placed(found.items);
  for (const [index, item] of found.items.entries()) {
    const at = places[index], name = at.class ?? "";
    found.splits.add(at.split);
    if (!found.classes.has(name)) found.classes.set(name, { name, counts: {}, total: 0, items: [] });
    const of = found.classes.get(name);
    of.counts[at.split] = (of.counts[at.split] || 0) + 1;
    of.total++;
    if (of.items.length < SHOWN.pictures) of.items.push(item);
  }
  return found;
}

function problemsOf(found, left) {
  const problems = [], named = [...found.classes.values()].filter((one) => one.name !== "");
  const loose = found.classes.get("");
  const say = (tone, text, list = []) => problems.push({ tone, text, list });
  if (left.large.length) say("bad", `${plural(left.large.length, "file")} larger than one may be here: left out`, left.large);
  if (left.empty.length) say("warn", `${plural(left.empty.length, "empty file")}: left out`, left.empty);
  const small = named.filter((one) => one.total < 10);
  if (small.length) say("warn", `${plural(small.length, "class", "classes")} with fewer than 10 pictures`, small.map((one) => `${one.name}: ${one.total}`));
  if (loose && named.length) say("warn", `${plural(loose.total, "picture")} in no class's folder`, loose.items.map((item) => item.path));
  if (loose && !named.length && !found.tables.length) say("warn", "The pictures lie in no folders: without a metadata.csv that names their classes nothing can be trained on them", []);
  if (named.length === 1 && !found.tables.length) say("warn", "One class only: there is nothing to tell apart", []);
  const ratio = named.length > 1 ? Math.max(...named.map((one) => one.total)) / Math.max(1, Math.min(...named.map((one) => one.total))) : 1;
  if (ratio >= 10) say("warn", `The largest class has ${Math.round(ratio)} times as many pictures as the smallest`, []);
  if (found.other.length && found.items.length) say("", `${plural(found.other.length, "file")} that are no pictures: sent along, and not trained on`, found.other);
  if (!found.items.length && !found.tables.length && !found.closed.length) say("bad", "No pictures, tables or archives were found: nothing can be trained on this", found.other);
  return problems;
}

function showFound(kept, found, left) {
  const total = kept.reduce((sum, one) => sum + one.file.size, 0), named = [...found.classes.values()].filter((one) => one.name !== "");
  const parts = [plural(kept.length, "file"), size(total)];
  if (found.items.length) parts.push(plural(found.items.length, "picture"));
  if (named.length) parts.push(plural(named.length, "class", "classes"));
  if (found.splits.size > 1) parts.push(`splits ${[...found.splits].join(", ")}`);
  if (found.tables.length) parts.push(`${plural(found.tables.length, "table")}, read on the server`);
  if (found.closed.length) parts.push(`${plural(found.closed.length, "archive")}, looked into on the server`);
  $("found-sum").textContent = parts.join(" · ");
  $("found").hidden = false;
  const list = element("ul", { class: "findings" });
  for (const { tone, text, list: of } of problemsOf(found, left)) {
    const line = element("li", { class: tone ? `finding ${tone}` : "finding" });
    if (of.length === 0) line.append(text);
    else {
      const inner = element("ul", { class: "plain" }, ...of.slice(0, SHOWN.problems).map((path) => element("li", {}, path)));
      if (of.length > SHOWN.problems) inner.append(element("li", {}, `and ${plural(of.length - SHOWN.problems, "more", "more")}`));
      line.append(element("details", {}, element("summary", {}, text), inner));
    }
    list.append(line);
  }
  $("found-problems").replaceChildren(list);
  showClasses(named.sort((a, b) => b.total - a.total), [...found.splits]);
}

function showClasses(named, splits) {
  const most = Math.max(1, ...named.map((one) => one.total));
  const row = (one) => {
    const strip = element("div", { class: "strip" });
    const counts = splits.map((split) => `${splits.length > 1 ? `${split} ` : ""}${(one.counts[split] || 0).toLocaleString("en")}`).join(" · ");
    const meter = element("meter", { min: 0, max: most, value: one.total }, String(one.total));
    const made = element("div", { class: "class-row" }, element("div", { class: "class-name" }, one.name), element("div", { class: "class-count" }, meter, element("span", {}, counts)), strip);
    made.of = one;
    made.strip = strip;
    return made;
  };
  const shown = named.slice(0, SHOWN.classes).map(row), rest = named.slice(SHOWN.classes).map(row);
  const all = element("div", { class: "class-rows" }, ...shown);
  if (rest.length) all.append(element("details", {}, element("summary", {}, `${plural(rest.length, "more class", "more classes")}`), ...rest));
  $("found-classes").replaceChildren(all);
  drawStrips(shown);
}

let drawing = 0;
async function drawStrips(rows) {
  const turn = ++drawing, broken = [];
  for (const row of rows) {
    for (const item of row.of.items) {
      if (turn !== drawing) return;
      try {
        const bitmap = await createImageBitmap(await item.read());
        const canvas = element("canvas", { width: 64, height: 64, role: "img", "aria-label": `A picture of ${row.of.name}`, title: item.path });
        const scale = Math.max(64 / bitmap.width, 64 / bitmap.height), w = bitmap.width * scale, h = bitmap.height * scale;
        canvas.getContext("2d").drawImage(bitmap, (64 - w) / 2, (64 - h) / 2, w, h);
        bitmap.close();
        row.strip.append(canvas);
      } catch {
        // Browsers know no TIFF; of the others it is told.
        if (!/\.tiff?$/i.test(item.path)) broken.push(item.path);
      }
    }
  }
  if (broken.length) {
    const list = element("ul", { class: "plain" }, ...broken.map((path) => element("li", {}, path)));
    $("found-problems").firstElementChild?.append(element("li", { class: "finding warn" }, element("details", {}, element("summary", {}, `Of the pictures looked at, ${broken.length} cannot be shown`), list)));
  }
}

// ---- sums, in a worker

class Summer {
  constructor(address) {
    this.worker = new Worker(address);
    this.waiting = new Map();
    this.next = 1;
    this.worker.onmessage = ({ data }) => {
      const asked = this.waiting.get(data.id);
      if (!asked) return;
      if (data.read !== undefined) asked.told(data.read);
      if (data.sum !== undefined || data.error) {
        this.waiting.delete(data.id);
        if (data.error) asked.reject(new Error(data.error)); else asked.resolve(data.sum);
      }
    };
    this.worker.onerror = () => {
      for (const asked of this.waiting.values()) asked.reject(new Error("the worker that sums up files could not be started"));
      this.waiting.clear();
    };
  }

  sum(what, blob, told = () => {}) {
    return new Promise((resolve, reject) => {
      const id = this.next++;
      this.waiting.set(id, { resolve, reject, told });
      this.worker.postMessage({ id, what, blob });
    });
  }

  end() {
    this.worker.terminate();
    for (const asked of this.waiting.values()) asked.reject(new Error("cancelled"));
    this.waiting.clear();
  }
}

// ---- many loose files become one zip: stored, not compressed, the same bytes for the same files

function stays(path) {
  return SHARDS.has(ending(path)) || (!path.includes("/") && (ending(path) === "md" || /^licen[cs]e/i.test(path)));
}

function zipOf(files, sums) {
  const pieces = [], list = [];
  let at = 0, listed = 0;
  for (const { path, file } of files) {
    const name = new TextEncoder().encode(path), sum = sums.get(path);
    const head = new DataView(new ArrayBuffer(30));
    const common = (view, from) => {
      view.setUint16(from, 20, true);
      view.setUint16(from + 2, 0x0800, true);
      view.setUint16(from + 8, 0x21, true);
      view.setUint32(from + 10, sum, true);
      view.setUint32(from + 14, file.size, true);
      view.setUint32(from + 18, file.size, true);
      view.setUint16(from + 22, name.length, true);
    };
    head.setUint32(0, 0x04034b50, true);
    common(head, 4);
    pieces.push(head.buffer, name, file);
    const far = at >= 0xffffffff, entry = new DataView(new ArrayBuffer(46 + (far ? 12 : 0)));
    entry.setUint32(0, 0x02014b50, true);
    entry.setUint16(4, 20, true);
    common(entry, 6);
    entry.setUint16(30, far ? 12 : 0, true);
    entry.setUint32(42, far ? 0xffffffff : at, true);
    if (far) {
      entry.setUint16(46, 1, true);
      entry.setUint16(48, 8, true);
      entry.setBigUint64(50, BigInt(at), true);
    }
    list.push(entry.buffer.slice(0, 46), name, ...(far ? [entry.buffer.slice(46)] : []));
    listed += entry.byteLength + name.length;
    at += 30 + name.length + file.size;
  }
  const large = files.length >= 0xffff || at >= 0xffffffff;
  if (large) {
    const more = new DataView(new ArrayBuffer(76));
    more.setUint32(0, 0x06064b50, true);
    more.setBigUint64(4, 44n, true);
    more.setUint16(12, 45, true);
    more.setUint16(14, 45, true);
    more.setBigUint64(24, BigInt(files.length), true);
    more.setBigUint64(32, BigInt(files.length), true);
    more.setBigUint64(40, BigInt(listed), true);
    more.setBigUint64(48, BigInt(at), true);
    more.setUint32(56, 0x07064b50, true);
    more.setBigUint64(64, BigInt(at + listed), true);
    more.setUint32(72, 1, true);
    list.push(more.buffer);
  }
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, Math.min(files.length, 0xffff), true);
  end.setUint16(10, Math.min(files.length, 0xffff), true);
  end.setUint32(12, Math.min(listed, 0xffffffff), true);
  end.setUint32(16, large ? 0xffffffff : at, true);
  list.push(end.buffer);
  return new Blob([...pieces, ...list]);
}

// ---- the way to the server

class Refused extends Error {
  constructor(problem, status) {
    super(problem.hint ? `${problem.message}; ${problem.hint}` : problem.message);
    this.code = problem.code;
    this.status = status;
  }
}

class Wire {
  constructor(form) {
    this.base = form.dataset.base;
    this.token = form.elements.csrf.value;
    this.open = new Set();
    this.stopped = false;
  }

  stop() {
    this.stopped = true;
    for (const request of this.open) request.abort();
  }

  once(method, path, body, headers, told) {
    return new Promise((resolve, reject) => {
      if (this.stopped) { reject(new Error("cancelled")); return; }
      const request = new XMLHttpRequest();
      this.open.add(request);
      request.open(method, `${this.base}${path}`);
      request.setRequestHeader("x-form-token", this.token);
      request.setRequestHeader("accept", "application/json");
      for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
      if (told) request.upload.onprogress = (event) => told(event.loaded);
      request.onloadend = () => {
        this.open.delete(request);
        let answer = {};
        try { answer = JSON.parse(request.responseText || "{}"); } catch { /* a proxy's page */ }
        if (request.status >= 200 && request.status < 300) resolve(answer);
        else if (this.stopped) reject(new Error("cancelled"));
        else if (request.status === 0) reject(new Error("the server did not answer"));
        else reject(new Refused(answer.message ? answer : { code: "", message: `the server answered ${request.status}`, hint: "" }, request.status));
      };
      request.send(body ?? null);
    });
  }

  // Again and again, while it is the line's fault or the server is busy.
  async ask(method, path, body, headers = {}, told) {
    for (let failed = 0; ; failed++) {
      try {
        return await this.once(method, path, body, headers, told);
      } catch (error) {
        const passing = !(error instanceof Refused) || [408, 429, 502, 503, 504].includes(error.status);
        if (this.stopped || !passing || failed >= PARTS.tries) throw error;
        told?.(0);
        await new Promise((resolve) => setTimeout(resolve, Math.min(30000, 500 * 2 ** failed)));
      }
    }
  }

  json(method, path, value) {
    return this.ask(method, path, JSON.stringify(value), { "content-type": "application/json" });
  }

  async send(file, told) {
    const octets = { "content-type": "application/octet-stream" };
    if (file.blob.size <= PARTS.bytes) {
      await this.ask("PUT", `/blobs/${file.sha256}`, file.blob, octets, told);
      told(file.blob.size);
      return;
    }
    let upload = await this.json("POST", "/uploads", { sha256: file.sha256, size_bytes: file.blob.size });
    if (upload.complete) { told(file.blob.size); return; }
    const missing = [];
    let from = 0, here = 0;
    for (const [begin, end] of [...upload.received, [file.blob.size, file.blob.size]]) {
      for (; from < begin; from = Math.min(begin, from + PARTS.bytes)) missing.push([from, Math.min(begin, from + PARTS.bytes)]);
      here += end - begin;
      from = Math.max(from, end);
    }
    const going = new Map();
    let done = here;
    const tell = () => told(done + [...going.values()].reduce((sum, bytes) => sum + bytes, 0));
    tell();
    const lane = async () => {
      for (let part = missing.shift(); part; part = missing.shift()) {
        const [begin, end] = part, range = { ...octets, "content-range": `bytes ${begin}-${end - 1}/${file.blob.size}` };
        const answer = await this.ask("PUT", `/uploads/${upload.id}`, file.blob.slice(begin, end), range, (bytes) => { going.set(begin, bytes); tell(); });
        going.delete(begin);
        done += end - begin;
        if (answer.complete) upload = answer;
        tell();
      }
    };
    await Promise.all(Array.from({ length: PARTS.atOnce }, lane));
    if (!upload.complete) upload = await this.ask("GET", `/uploads/${upload.id}`);
    if (!upload.complete) throw new Error(`${file.path} is not whole on the server; publish again to go on`);
  }
}

// ---- the page

function start(form) {
  const state = { kept: [], left: null, handle: null, summer: null, wire: null, busy: false };
  const key = `${form.action}`;
  const picker = element("input", { type: "file", multiple: "", "aria-label": "Files to send" });
  picker.hidden = true;
  form.append(picker);
  $("plain").remove();
  $("drop").hidden = false;

  const step = (name) => {
    for (const one of ["choose", "look", "send", "check"]) $(`step-${one}`).toggleAttribute("aria-current", false);
    $(`step-${name}`).setAttribute("aria-current", "step");
  };
  const say = (text, tone = "bad") => {
    $("sent").hidden = text === "";
    $("sent").className = `note ${tone}`;
    $("sent").replaceChildren(element("p", {}, text));
  };

  async function chosen(all, handle) {
    if (state.busy) return;
    say("");
    const { kept, left } = tidy(all);
    Object.assign(state, { kept, left, handle });
    $("upload-resume").hidden = true;
    step("look");
    showFound(kept, await look(kept), left);
    if (kept.length === 0) say("There is nothing in it that could be sent.");
    else if (handle && handle.kind === "directory") await memory.put(`handle ${key}`, handle);
  }

  const pick = (folder) => {
    picker.toggleAttribute("webkitdirectory", folder);
    picker.value = "";
    picker.click();
  };
  picker.addEventListener("change", () => chosen([...picker.files].map((file) => ({ path: file.webkitRelativePath || file.name, file })), null));
  $("choose-folder").addEventListener("click", async () => {
    if (typeof showDirectoryPicker !== "function") { pick(true); return; }
    try {
      const handle = await showDirectoryPicker(), found = [];
      await fromHandle(handle, "", found);
      await chosen(found, handle);
    } catch (error) {
      if (error.name !== "AbortError") pick(true);
    }
  });
  $("choose-files").addEventListener("click", () => pick(false));

  const drop = $("drop");
  for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
  drop.addEventListener("drop", async (event) => {
    event.preventDefault();
    // What was dropped can only be asked for before anything is waited for.
    const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
    const lent = items.length === 1 && items[0].getAsFileSystemHandle ? items[0].getAsFileSystemHandle().catch(() => null) : null;
    const entries = items.map((item) => item.webkitGetAsEntry()), found = [];
    for (const entry of entries) if (entry) await fromEntry(entry, "", found);
    await chosen(found, await lent);
  });
  // A file dropped beside the place would be shown by the browser, and the page be gone.
  for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => { if (!drop.contains(event.target)) event.preventDefault(); });

  followName(form);
  offerToGoOn(form, key, chosen);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!state.busy) publish(form, state, key, { step, say });
  });
  $("stop").addEventListener("click", () => {
    if (!confirm("Cancel? What was sent is kept for a day, and goes on if you choose the same files again.")) return;
    state.wire?.stop();
    state.summer?.end();
  });
  addEventListener("beforeunload", (event) => { if (state.busy) event.preventDefault(); });
}

// Whether the name is free, while it is typed.
function followName(form) {
  const { owner, name } = form.elements, said = $("name-said");
  if (!owner || !name) return;
  let timer = 0;
  const look = async () => {
    if (!name.value.trim()) return;
    const query = new URLSearchParams({ kind: "dataset", id: `${owner.value}/${name.value.trim()}` });
    const answer = await fetch(`${form.dataset.base}/check?${query}`, { headers: { accept: "application/json" } });
    if (!answer.ok) return;
    const { state, message } = await answer.json();
    said.textContent = state === "taken" ? `${message}; use that page to add one` : message;
    name.setAttribute("aria-invalid", state === "free" ? "false" : "true");
  };
  for (const field of [owner, name]) field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(look, 300); });
  look();
}

// An upload that stood still when the page was left.
async function offerToGoOn(form, key, chosen) {
  const plan = await memory.get(`plan ${key}`);
  if (!plan) return;
  const note = $("upload-resume"), fields = form.elements;
  const forget = element("button", { type: "button", class: "quiet small" }, "Forget it");
  const go = element("button", { type: "button", class: "small" }, "Go on");
  const handle = await memory.get(`handle ${key}`);
  note.replaceChildren(element("p", {}, `An upload of ${plural(plan.files, "file")} (${size(plan.bytes)}) was under way. ${handle ? "" : "Choose the same files again: "}nothing that arrived is sent again.`), element("p", { class: "row" }, ...(handle ? [go] : []), forget));
  note.hidden = false;
  for (const [name, value] of Object.entries(plan.fields)) {
    if (!fields[name]) continue;
    if (fields[name].type === "checkbox") fields[name].checked = value; else fields[name].value = value;
  }
  forget.addEventListener("click", async () => {
    for (const what of ["plan", "handle", "sums"]) await memory.forget(`${what} ${key}`);
    note.hidden = true;
  });
  go.addEventListener("click", async () => {
    if ((await handle.requestPermission({ mode: "read" })) !== "granted") return;
    const found = [];
    await fromHandle(handle, "", found);
    await chosen(found, handle);
    note.hidden = true;
    form.requestSubmit();
  });
}

async function publish(form, state, key, { step, say }) {
  if (state.kept.length === 0) { say("Choose a folder or files first."); return; }
  const fields = form.elements, place = form.querySelector("[name=place]:checked");
  const fieldsNow = { owner: fields.owner?.value, name: fields.name?.value, summary: fields.summary?.value, private: fields.private?.checked, message: fields.message.value };
  state.busy = true;
  state.summer = new Summer(form.dataset.worker);
  state.wire = new Wire(form);
  $("send").disabled = true;
  $("stop").hidden = false;
  $("sending").hidden = false;
  say("");
  step("send");
  try {
    await memory.put(`plan ${key}`, { fields: fieldsNow, files: state.kept.length, bytes: state.kept.reduce((sum, one) => sum + one.file.size, 0) });
    const files = await summedUp(state, key);
    await sendAll(files, state.wire);
    step("check");
    $("sending-said").textContent = "All is there. The server looks at every picture …";
    $("sending-bar").removeAttribute("value");
    $("sending-more").textContent = "Broken files, copies and leaks between splits are looked for; of a large data set this takes minutes.";
    const repo = form.dataset.repo || `${fields.owner.value}/${fields.name.value.trim()}`;
    // Asked once: the same a second time would find its own repo there.
    const done = await state.wire.once("POST", `/publish/datasets/${repo}`, JSON.stringify({
      message: fieldsNow.message,
      place: place ? place.value : "instead",
      new: !form.dataset.repo,
      private: fieldsNow.private || false,
      summary: fieldsNow.summary || "",
      files: files.map(({ path, sha256, blob }) => ({ path, sha256, size_bytes: blob.size })),
    }), { "content-type": "application/json" });
    for (const what of ["plan", "handle", "sums"]) await memory.forget(`${what} ${key}`);
    state.busy = false;
    const root = form.dataset.base.slice(0, -"/new".length);
    location.assign(root + done.href);
  } catch (error) {
    const cancelled = error.message === "cancelled";
    say(cancelled ? "Cancelled. What was sent is kept for a day: publish the same files again to go on." : `${error.message}.`, cancelled ? "warn" : "bad");
    step("look");
    $("sending").hidden = true;
  } finally {
    state.summer.end();
    state.busy = false;
    $("send").disabled = false;
    $("stop").hidden = true;
    $("sending-bar").value = 0;
  }
}

// The files as they are sent, each with its sha256; sums that were made before are remembered by name, size and date.
async function summedUp(state, key) {
  const known = (await memory.get(`sums ${key}`)) || {};
  const bar = $("sending-bar"), mark = (one) => `${one.path}\n${one.file.size}\n${one.file.lastModified}`;
  const packed = state.kept.filter((one) => !stays(one.path) && one.file.size < 0xffffffff);
  const pack = packed.length > LOOSE, loose = pack ? state.kept.filter((one) => !packed.includes(one)) : state.kept;
  const total = state.kept.reduce((sum, one) => sum + one.file.size, 0) + (pack ? packed.reduce((sum, one) => sum + one.file.size, 0) : 0);
  let done = 0, saved = performance.now();
  const tell = (more) => {
    bar.value = (1000 * (done + more)) / Math.max(1, total);
    $("sending-said").textContent = `Reading the files: ${size(done + more)} of ${size(total)}`;
  };
  const sum = async (what, one) => {
    const name = `${what} ${mark(one)}`;
    if (known[name] === undefined) {
      known[name] = await state.summer.sum(what, one.file, tell);
      if (performance.now() - saved > 2000) { saved = performance.now(); await memory.put(`sums ${key}`, known); }
    }
    done += one.file.size;
    tell(0);
    return known[name];
  };
  const files = [];
  if (pack) {
    const sums = new Map();
    for (const one of packed) sums.set(one.path, await sum("crc32", one));
    const blob = zipOf(packed, sums);
    // The archive's sum stands for those of all its files.
    const name = `zip ${blob.size} ${packed.length} ${[...sums.values()].reduce((mixed, one) => (Math.imul(mixed, 31) + one) | 0, 7)}`;
    known[name] ??= await state.summer.sum("sha256", blob, tell);
    done += blob.size;
    files.push({ path: "data.zip", blob, sha256: known[name] });
  }
  for (const one of loose) files.push({ path: one.path, blob: one.file, sha256: await sum("sha256", one) });
  await memory.put(`sums ${key}`, known);
  return files;
}

async function sendAll(files, wire) {
  const byDigest = new Map(files.map((file) => [file.sha256, file])), missing = new Set(), digests = [...byDigest.keys()];
  for (let at = 0; at < digests.length; at += 1000) {
    for (const one of (await wire.json("POST", "/blobs/missing", { sha256: digests.slice(at, at + 1000) })).missing) missing.add(one);
  }
  const todo = [...byDigest.values()].filter((file) => missing.has(file.sha256)).sort((a, b) => b.blob.size - a.blob.size);
  const total = todo.reduce((sum, file) => sum + file.blob.size, 0), sent = new Map(), began = performance.now();
  let first = 0;
  const tell = () => {
    const now = [...sent.values()].reduce((sum, bytes) => sum + bytes, 0), seconds = (performance.now() - began) / 1000;
    if (first === 0 && seconds > 0.5) first = now;
    const rate = (now - first) / Math.max(0.5, seconds - 0.5);
    $("sending-bar").value = (1000 * now) / Math.max(1, total);
    $("sending-said").textContent = `Sending: ${size(now)} of ${size(total)}`;
    const kept = files.reduce((sum, file) => sum + file.blob.size, 0) - total;
    $("sending-more").textContent = [rate > 0 && now < total ? `${size(rate)}/s, ${span((total - now) / rate)} left` : "", kept > 0 ? `${size(kept)} are on the server already` : ""].filter(Boolean).join(" · ");
  };
  tell();
  const lane = async () => {
    for (let file = todo.shift(); file; file = todo.shift()) {
      const { sha256 } = file;
      await wire.send(file, (bytes) => { sent.set(sha256, bytes); tell(); });
      sent.set(sha256, file.blob.size);
      tell();
    }
  };
  await Promise.all(Array.from({ length: PARTS.atOnce }, lane));
}

if (typeof document !== "undefined" && $("upload") && typeof Worker !== "undefined" && typeof Blob.prototype.stream === "function") start($("upload"));
if (typeof module !== "undefined") module.exports = { zipOf, placed, size, span };
