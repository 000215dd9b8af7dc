// The arithmetic of an upload, off the page's own thread: sha256 of what is sent, and the sums a zip has of its files.
"use strict";

const K = new Uint32Array(64);
const FIRST = new Uint32Array(8);
// The constants are the first bits of the roots of the first primes.
(() => {
  const prime = (n) => { for (let d = 2; d * d <= n; d++) if (n % d === 0) return false; return true; };
  const bits = (x) => Math.floor((x - Math.floor(x)) * 4294967296);
  for (let n = 2, at = 0; at < 64; n++) {
    if (!prime(n)) continue;
    if (at < 8) FIRST[at] = bits(Math.sqrt(n));
    K[at++] = bits(Math.cbrt(n));
  }
})();

class Sha256 {
  constructor() {
    this.state = Uint32Array.from(FIRST);
    this.words = new Uint32Array(64);
    this.rest = new Uint8Array(64);
    this.held = 0;
    this.length = 0;
  }

  update(bytes) {
    this.length += bytes.length;
    let at = 0;
    if (this.held > 0) {
      const taken = Math.min(64 - this.held, bytes.length);
      this.rest.set(bytes.subarray(0, taken), this.held);
      this.held += taken;
      at = taken;
      if (this.held < 64) return;
      this.block(this.rest, 0);
      this.held = 0;
    }
    for (; at + 64 <= bytes.length; at += 64) this.block(bytes, at);
    this.rest.set(bytes.subarray(at), 0);
    this.held = bytes.length - at;
  }

  block(bytes, at) {
    const w = this.words;
    for (let i = 0; i < 16; i++, at += 4) w[i] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15], y = w[i - 2];
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
    }
    const s = this.state;
    let a = s[0] | 0, b = s[1] | 0, c = s[2] | 0, d = s[3] | 0, e = s[4] | 0, f = s[5] | 0, g = s[6] | 0, h = s[7] | 0;
    for (let i = 0; i < 64; i++) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const one = (h + s1 + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const two = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g; g = f; f = e; e = (d + one) | 0; d = c; c = b; b = a; a = (one + two) | 0;
    }
    s[0] += a; s[1] += b; s[2] += c; s[3] += d; s[4] += e; s[5] += f; s[6] += g; s[7] += h;
  }

  hex() {
    const bits = this.length * 8, padded = new Uint8Array(this.held < 56 ? 64 - this.held : 128 - this.held);
    padded[0] = 0x80;
    const end = new DataView(padded.buffer, padded.length - 8);
    end.setUint32(0, Math.floor(bits / 4294967296));
    end.setUint32(4, bits >>> 0);
    this.update(padded);
    return Array.from(this.state, (word) => word.toString(16).padStart(8, "0")).join("");
  }
}

const CRC = new Uint32Array(256);
for (let n = 0; n < 256; n++) {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  CRC[n] = c >>> 0;
}

function crc(sum, bytes) {
  for (let i = 0; i < bytes.length; i++) sum = (sum >>> 8) ^ CRC[(sum ^ bytes[i]) & 0xff];
  return sum;
}

// What the browser itself sums up in one piece.
const WHOLE = 32 << 20;

async function sha256(blob, told) {
  if (blob.size <= WHOLE && self.crypto && self.crypto.subtle) {
    const sum = new Uint8Array(await self.crypto.subtle.digest("SHA-256", await blob.arrayBuffer()));
    told(blob.size);
    return Array.from(sum, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }
  const hash = new Sha256();
  await each(blob, (bytes) => { hash.update(bytes); told(bytes.length); });
  return hash.hex();
}

async function each(blob, use) {
  const reader = blob.stream().getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    use(value);
  }
}

async function sumOf(blob, told) {
  let sum = 0xffffffff;
  if (blob.size <= WHOLE) {
    sum = crc(sum, new Uint8Array(await blob.arrayBuffer()));
    told(blob.size);
  } else {
    await each(blob, (bytes) => { sum = crc(sum, bytes); told(bytes.length); });
  }
  return (sum ^ 0xffffffff) >>> 0;
}

// { id, what: "sha256" | "crc32", blob } -> { id, read } ..., then { id, sum } or { id, error }
if (typeof self !== "undefined" && typeof self.postMessage === "function") {
  self.onmessage = async (event) => {
    const { id, what, blob } = event.data;
    let read = 0, shown = 0;
    const told = (bytes) => {
      read += bytes;
      if (performance.now() - shown < 100) return;
      shown = performance.now();
      self.postMessage({ id, read });
    };
    try {
      const sum = what === "crc32" ? await sumOf(blob, told) : await sha256(blob, told);
      self.postMessage({ id, read: blob.size, sum });
    } catch (error) {
      self.postMessage({ id, error: String((error && error.message) || error) });
    }
  };
}
if (typeof module !== "undefined") module.exports = { Sha256, crc };
