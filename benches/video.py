#!/usr/bin/env python3
"""Networks of clips beside PyTorch, in one run on one machine: `make bench-video`.

I3D and R(2+1)D-18 over clips of 16 frames of 112x112, forward and full training step. Both sides take turns; figures are medians over rounds,
and PyTorch's are those of its quicker memory format. `ratio NAME VALUE`: above 1 the hub is faster.

    python3 benches/video.py [--rounds N] [--batch N] [NETWORK ...]
"""
import argparse
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from kit import ROOT, python_with, ratio  # noqa: E402
from train import FORMATS, Side, noise, runner, turns  # noqa: E402

NETWORKS = ["i3d", "r2plus1d_18"]
CLIP = "16x112"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("networks", nargs="*")
    asked = parser.parse_args()
    bench, python = runner("train"), python_with("torch", "torch", "timm")
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
