"""Objects in boxes, the part of dense.py about them: each base learns to find blood cells, and the same from random weights beside it; what the hub
reports of the validation images is printed by class, with the minutes of the whole job, and what the check says of the data.

BENCH_BOX_EPOCHS=30  BENCH_BOX_SIDE=320  BENCH_BOX_DECODERS=fcos,ssdlite  BENCH_BOX_SET="augment.mosaic=0.5 augment.multi_scale=0.25"
"""
import json
import os

from kit import DATA

EPOCHS = os.environ.get("BENCH_BOX_EPOCHS", "30")
SIDE = os.environ.get("BENCH_BOX_SIDE", "320")
DECODERS = os.environ.get("BENCH_BOX_DECODERS", "fcos,ssdlite").split(",")
SETTINGS = os.environ.get("BENCH_BOX_SET", "").split()
# What is wanted at an overlap of half: the mean over classes, and each class.
GOAL, OF_EACH = 0.85, 0.75


def told(hub, model, what):
    """A line of the table, and one for each class."""
    metrics = json.loads(hub.api("GET", f"/models/{model}/versions/main/files/metrics.json"))
    measured = metrics["validation"]
    keys = ("box_map_50", "box_map", "box_map_small", "box_map_medium", "box_map_large", "box_recall")
    numbers = " | ".join(f"{measured.get(key, float('nan')):.4f}" for key in keys)
    halves = [label["average_precision_50"] for label in measured["labels"]]
    reached = "reached" if measured["box_map_50"] >= GOAL and min(halves) >= OF_EACH else "missed"
    print(f"| {what} | {numbers} | {metrics['best_epoch']} | {metrics['seconds'] / 60:.2f} | mAP 50 {GOAL}, each {OF_EACH}: {reached} |", flush=True)
    for score, label in zip(measured["per_class"], measured["labels"]):
        print(
            f"  {score['class']}: AP 50 {label['average_precision_50']:.4f}, 50:95 {label['average_precision']:.4f}; from {label['threshold']:.2f} on "
            f"precision {score['precision']:.3f}, recall {score['recall']:.3f} of {score['support']}", flush=True)
    if comparison := metrics.get("comparison"):
        print(f"  beside random weights: {json.dumps(comparison)}", flush=True)


def measured(hub, name, bases):
    """Publishes the boxes and has every base learn them."""
    hub("publish", DATA / f"{name}.zip", f"library/{name}", "--dataset", "--quiet")
    facts = json.loads(hub.api("GET", f"/datasets/library/{name}"))["facts"]
    print(f"{name}: {facts['task']}, {facts['samples']} images, {', '.join(facts['labels'])}", flush=True)
    for warning in facts["warnings"]:
        print(f"  {warning}", flush=True)
    print("| run | mAP 50 | mAP 50:95 | small | medium | large | recall | best epoch | minutes | goal |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for base, decoder in ((base, decoder) for base in bases for decoder in DECODERS):
        model = f"library/{base}-{name.replace('_', '-')}-{decoder}"
        settings = [f"decoder={decoder}", f"epochs={EPOCHS}", *SETTINGS, "compare=scratch", "publish_anyway=true"]
        asked = [word for setting in settings for word in ("--set", setting)]
        hub("finetune", "--base", f"library/{base}", "--dataset", f"library/{name}", "--name", model, "--image-size", SIDE, *asked, "--watch", "--quiet")
        told(hub, model, f"{name}, {base}, {decoder}, {SIDE}")
