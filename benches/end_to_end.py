#!/usr/bin/env python3
"""The hub beside its peers, in one run on one machine: `make bench` prints `ratio NAME VALUE` lines.

Images per second of embedding and of training steps beside PyTorch + timm (2 threads); `benches/transfer.py` is about
bytes. Above 1 the hub is faster. Machines are noisy: each figure is a median, and ratios count.
"""
import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from kit import python_with, ratio, run  # noqa: E402


def seconds(text):
    number, unit = re.fullmatch(r"([\d.]+) (ns|µs|ms|s)", text.strip()).groups()
    return float(number) * {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0}[unit]


def hub_rates(backend, batch=16):
    """{(model, work): images per second} from the medians of `cargo bench --bench nn`."""
    environment = {**os.environ, "RAYON_NUM_THREADS": "2", "HUB_BACKEND": backend}
    text = run("cargo", "bench", "--bench", "nn", stdout=subprocess.PIPE, env=environment).stdout
    rates, work = {}, None
    for line in text.splitlines():
        if match := re.search(r"─ (forward|train_step)_(\d+)", line):
            work = f"{match[1].replace('train_', '')} {match[2]}"
        elif work and (match := re.search(r"─ (\w+)\s", line)):
            rates[match[1], work] = batch / seconds(line.split("│")[-4])
    return rates


def torch_rates():
    text = run(python_with("torch", "torch", "timm"), "benches/pytorch_step.py", stdout=subprocess.PIPE).stdout
    rates = {}
    for line in text.splitlines():
        model, rest = line.split(" ", 1)
        for work, rate in re.findall(r"(\w+ \d+): ([\d.]+)", rest):
            rates[model, work] = float(rate)
    return rates


def compare_networks():
    ours, plain, theirs = hub_rates("auto"), hub_rates("rust"), torch_rates()
    for (model, work), rate in theirs.items():
        default, rust = ours[model, work], plain[model, work]
        print(f"{model:22} {work:12} hub {default:8.1f}  in Rust alone {rust:8.1f}  PyTorch {rate:8.1f} images/s")
        ratio(f"{model}/{work.replace(' ', '-')}", default / rate)
        ratio(f"{model}/{work.replace(' ', '-')}/rust", rust / rate)


if __name__ == "__main__":
    compare_networks()
