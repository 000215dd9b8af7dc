// The JavaScript client, @huggingface/hub, as its users call it: `node javascript.mjs NAMESPACE` with HF_ENDPOINT, HF_TOKEN (in the form
// that begins with hf_) and KNOWN set as run.py does.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as hub from "@huggingface/hub";

const hubUrl = process.env.HF_ENDPOINT;
const plain = process.env.HF_TOKEN;
const accessToken = `hf_${plain}`;
const known = JSON.parse(process.env.KNOWN);
const namespace = process.argv[2];
const at = { hubUrl, accessToken };
const [repo, made] = [`${namespace}/net`, `${namespace}/from-javascript`];
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const bytesOf = async (blob) => Buffer.from(await blob.arrayBuffer());
const all = async (items) => { const list = []; for await (const item of items) list.push(item); return list; };
const refused = async (promise, words) => {
  const error = await promise.then(() => assert.fail(`expected a refusal about ${words}`), (error) => error);
  assert.match(error.message, words);
  return error;
};

async function who() {
  assert.equal((await hub.whoAmI(at)).name, namespace);
  const error = await refused(hub.whoAmI({ hubUrl, accessToken: "hf_somebodyElsesToken" }), /no token of a hub/);
  assert.equal(error.statusCode, 401);
  // Another hub's token is as good as none where all may read.
  const other = { hubUrl, accessToken: "hf_somebodyElsesToken" };
  assert.equal((await hub.modelInfo({ ...other, name: repo })).name, repo);
  await refused(hub.modelInfo({ ...other, name: `${namespace}/hidden` }), /no token of a hub/);
}

async function looksAround() {
  const info = await hub.modelInfo({ ...at, name: repo, additionalFields: ["sha", "tags", "library_name"] });
  assert.equal(info.sha, known.commit);
  for (const revision of ["HEAD", "main", known.commit, "v1.0"]) {
    await hub.modelInfo({ ...at, name: repo, revision });
  }
  assert.ok((await all(hub.listModels({ ...at, search: { owner: namespace } }))).some((model) => model.name === repo));
  assert.ok((await all(hub.listDatasets({ ...at }))).some((dataset) => dataset.name === `${namespace}/table`));
  assert.equal((await hub.datasetInfo({ ...at, name: `${namespace}/table` })).name, `${namespace}/table`);
  assert.equal(await hub.countCommits({ ...at, repo }), 2);
  assert.equal(await hub.countCommits({ ...at, repo, revision: "v1.0" }), 1);
  assert.deepEqual((await all(hub.listCommits({ ...at, repo }))).map((commit) => commit.title), ["Second", "First"]);
  assert.equal(await hub.repoExists({ ...at, repo }), true);
  assert.equal(await hub.repoExists({ ...at, repo: `${namespace}/never` }), false);
  await hub.checkRepoAccess({ ...at, repo: `${namespace}/hidden` });
}

async function reads() {
  const listed = await all(hub.listFiles({ ...at, repo, recursive: true }));
  assert.deepEqual(listed.filter((entry) => entry.type === "file").map((entry) => entry.path).sort(), Object.keys(known.files).sort());
  assert.equal(await hub.fileExists({ ...at, repo, path: "config.json" }), true);
  assert.equal(await hub.fileExists({ ...at, repo, path: "none.json" }), false);
  assert.equal(await hub.fileExists({ ...at, repo: { type: "dataset", name: `${namespace}/table` }, path: "data/train.csv" }), true);
  for (const path of ["config.json", "model.safetensors", "large.bin2", "sub/a+b c.txt"]) {
    const blob = await hub.downloadFile({ ...at, repo, path });
    assert.equal(sha256(await bytesOf(blob)), known.files[path], path);
  }
  assert.equal(sha256(await bytesOf(await hub.downloadFile({ ...at, repo, path: "config.json", raw: true }))), known.files["config.json"]);
  const whole = await bytesOf(await hub.downloadFile({ ...at, repo, path: "large.bin2" }));
  const slice = (await hub.downloadFile({ ...at, repo, path: "large.bin2" })).slice(1_000_000, 1_000_100);
  assert.deepEqual(await bytesOf(slice), whole.subarray(1_000_000, 1_000_100));
  assert.equal(await hub.downloadFile({ ...at, repo, path: "none.bin" }), null);
  const about = await hub.fileDownloadInfo({ ...at, repo, path: "large.bin2" });
  assert.deepEqual([about.size, about.etag], [whole.length, `"${known.files["large.bin2"]}"`]);
  assert.equal(await hub.fileDownloadInfo({ ...at, repo, path: "none.bin" }), null);
  const [one, ...others] = await hub.pathsInfo({ ...at, repo, paths: ["large.bin2", "none.bin"], expand: true });
  assert.deepEqual([one.lfs.oid, one.size, others.length], [known.files["large.bin2"], whole.length, 0]);
  const parsed = await hub.parseSafetensorsMetadata({ ...at, repo, computeParametersCount: true });
  assert.deepEqual([parsed.sharded, parsed.parameterCount, Object.keys(parsed.header).sort()], [false, { F32: 10 }, ["a.weight", "b"]]);
}

async function takesSnapshots() {
  const cacheDir = await mkdtemp(join(tmpdir(), "hub-javascript-"));
  const folder = await hub.snapshotDownload({ ...at, repo, cacheDir });
  assert.ok(folder.endsWith(known.commit), folder);
  for (const path of ["config.json", "large.bin2", "sub/a+b c.txt"]) {
    assert.equal(sha256(await readFile(join(folder, path))), known.files[path], path);
  }
  assert.ok((await readdir(join(folder, "sub"))).length >= 1);
  const file = await hub.downloadFileToCacheDir({ ...at, repo, path: "README.md", cacheDir });
  assert.equal(sha256(await readFile(file)), known.files["README.md"]);
}

async function writes() {
  const answer = await hub.createRepo({ ...at, repo: made, license: "mit", files: [{ path: "hello.txt", content: new Blob(["hi"]) }] });
  assert.equal(answer.repoUrl, `${hubUrl}/${made}`);
  await refused(hub.createRepo({ ...at, repo: made }), /exists|taken|already/);
  const large = Buffer.alloc(13_000_000, "hub");
  await hub.uploadFile({ ...at, repo: made, file: { path: "small.txt", content: new Blob(["small"]) } });
  await hub.uploadFile({ ...at, repo: made, file: { path: "deep/large.dat", content: new Blob([large]) }, commitTitle: "A large file" });
  await hub.uploadFile({ ...at, repo: made, file: { path: "no-xet.dat", content: new Blob([large, "!"]) }, useXet: false });
  await hub.uploadFile({ ...at, repo: made, file: { path: "again.dat", content: new Blob([large]) } });
  assert.equal(sha256(await bytesOf(await hub.downloadFile({ ...at, repo: made, path: "deep/large.dat" }))), sha256(large));
  const files = ["a.txt", "b/c.txt"].map((path) => ({ path, content: new Blob([path]) }));
  await hub.uploadFiles({ ...at, repo: made, files, commitTitle: "Two" });
  const seen = await all(hub.uploadFilesWithProgress({ ...at, repo: made, files: [{ path: "d.dat", content: new Blob([large, "d"]) }] }));
  assert.ok(seen.some((event) => event.event === "fileProgress" && event.path === "d.dat" && event.progress === 1));
  const operations = [
    { operation: "addOrUpdate", path: "small.txt", content: new Blob(["other"]) },
    { operation: "delete", path: "a.txt" },
  ];
  const done = await hub.commit({ ...at, repo: made, title: "Both", operations });
  assert.equal((await hub.modelInfo({ ...at, name: made, additionalFields: ["sha"] })).sha, done.commit.oid);
  const page = await fetch(done.commit.url, { headers: { accept: "text/html" } });
  assert.equal(page.status, 200, `${done.commit.url}, which the client prints, leads to a page`);
  await refused(hub.commit({ ...at, repo: made, title: "Stale", parentCommit: known.commit, operations }), /./);
  await hub.deleteFile({ ...at, repo: made, path: "again.dat" });
  await hub.deleteFiles({ ...at, repo: made, paths: ["b/c.txt", "d.dat"] });
  const left = (await all(hub.listFiles({ ...at, repo: made, recursive: true }))).filter((entry) => entry.type === "file");
  const paths = left.map((entry) => entry.path);
  for (const path of ["hello.txt", "small.txt", "deep/large.dat", "no-xet.dat"]) assert.ok(paths.includes(path), path);
  for (const path of ["a.txt", "b/c.txt", "again.dat", "d.dat"]) assert.ok(!paths.includes(path), path);
  await hub.deleteRepo({ ...at, repo: made });
  assert.equal(await hub.repoExists({ ...at, repo: made }), false);
  const table = { type: "dataset", name: `${namespace}/from-javascript-table` };
  await hub.createRepo({ ...at, repo: table, private: true });
  await hub.uploadFile({ ...at, repo: table, file: { path: "train.csv", content: new Blob(["text,label\na,0\n"]) } });
  assert.equal(await hub.fileExists({ ...at, repo: table, path: "train.csv" }), true);
  assert.equal(await hub.fileExists({ hubUrl, repo: table, path: "train.csv" }).catch(() => false), false);
  await hub.deleteRepo({ ...at, repo: table });
}

async function isToldWhatIsNotOffered() {
  await refused(all(hub.listSpaces({ ...at })), /Spaces/);
  await refused(all(hub.listCollections({ ...at })), /collections/);
  await refused(hub.createCollection({ ...at, collection: { title: "x", namespace } }), /collections/);
  const bucket = { type: "bucket", name: `${namespace}/x` };
  await refused(hub.createRepo({ ...at, repo: bucket }), /buckets/);
  const ours = await fetch(`${hubUrl}/api/whoami-v2`, { headers: { authorization: `Bearer ${plain}` } });
  assert.equal(ours.status, 200, "both forms of the token are one");
}

for (const part of [who, looksAround, reads, takesSnapshots, writes, isToldWhatIsNotOffered]) {
  await part();
  console.log(`  javascript: ${part.name}`);
}
