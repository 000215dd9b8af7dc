#!/usr/bin/env python3
"""PyTorch's side of `make bench-video`: the requests and answers of `benches/train.rs` for networks of clips. r2plus1d_18 and its kin are
torchvision's, I3D is the one of tests/golden/make_video.py.

fp32. `channels_last` or `contiguous` as the one argument is the memory format; the harness asks both and counts the quicker one.
"""
import importlib.util
import json
import os
import sys
import time
from pathlib import Path

import torch

spec = importlib.util.spec_from_file_location("make_video", Path(__file__).resolve().parent.parent / "tests" / "golden" / "make_video.py")
make_video = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_video)

CLASSES = make_video.CLASSES
FORMAT = torch.contiguous_format if sys.argv[1:] == ["contiguous"] else torch.channels_last_3d
kept = {}


def prepare(architecture, size, batch):
    name = (architecture, size, batch)
    if name not in kept:
        kept.clear()
        frames, side = map(int, size.split("x"))
        net = make_video.build(architecture).to(memory_format=FORMAT)
        clips = torch.randn(batch, 3, frames, side, side).to(memory_format=FORMAT)
        optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, nesterov=True, weight_decay=5e-4)
        kept[name] = (net, optimizer, clips, torch.arange(batch) % CLASSES)
    return kept[name]


def forward(net, optimizer, clips, labels):
    net.eval()
    with torch.inference_mode():
        net(clips)


def step(net, optimizer, clips, labels):
    net.train()
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(net(clips), labels)
    loss.backward()
    optimizer.step()
    loss.item()


def main():
    torch.set_num_threads(int(os.environ.get("RAYON_NUM_THREADS", 2)))
    works = {"forward": forward, "step": step}
    for line in sys.stdin:
        work, architecture, size, batch, count = line.split()
        prepared = prepare(architecture, size, int(batch))
        timed = []
        for _ in range(int(count)):
            began = time.perf_counter()
            works[work](*prepared)
            timed.append(time.perf_counter() - began)
        print(json.dumps({"seconds": timed}), flush=True)


if __name__ == "__main__":
    main()
