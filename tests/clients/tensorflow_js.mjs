// What TensorFlow.js itself answers of two graph models: `node tensorflow_js.mjs MODELS REQUESTS` with, for each model, the raw bytes of images
// of its side; the answers are written beside them, as JSON.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import * as tf from "@tensorflow/tfjs-core";
import { loadGraphModel } from "@tensorflow/tfjs-converter";
import { setWasmPaths } from "@tensorflow/tfjs-backend-wasm";

const [models, requests] = process.argv.slice(2);
const require = createRequire(import.meta.url);
setWasmPaths(join(dirname(require.resolve("@tensorflow/tfjs-backend-wasm/package.json")), "wasm-out/"));
await tf.setBackend("wasm");
for (const { name, side, scale, output, images } of JSON.parse(readFileSync(requests))) {
  const { format, modelTopology, weightsManifest } = JSON.parse(readFileSync(join(models, `${name}.json`)));
  const data = Buffer.concat(weightsManifest.flatMap((group) => group.paths).map((path) => readFileSync(join(models, path))));
  const weightData = data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength);
  const weightSpecs = weightsManifest.flatMap((group) => group.weights);
  const model = await loadGraphModel({ load: async () => ({ format, modelTopology, weightSpecs, weightData }) });
  for (const image of images) {
    const pixels = Float32Array.from(readFileSync(image), (byte) => byte * scale);
    const made = model.execute({ [model.inputs[0].name]: tf.tensor4d(pixels, [1, side, side, 3]) }, output);
    writeFileSync(`${image}.json`, JSON.stringify({ shape: made.shape, values: Array.from(made.dataSync()) }));
  }
}
