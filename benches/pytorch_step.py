#!/usr/bin/env python3
"""The work of `benches/nn.rs` in PyTorch and timm: 2 threads, channels_last, f32. Prints median images per second.

    pip install torch timm
    python benches/pytorch_step.py [model ...]
"""
import statistics
import sys
import time

import timm
import torch

BATCH, THREADS, SAMPLES = 16, 2, 7
MODELS = ["mobilenetv2_100", "mobilenetv3_small_100", "resnet18", "resnet50", "tf_efficientnet_lite0", "vit_tiny_patch16_224"]


def rate(work):
    work()
    seconds = []
    for _ in range(SAMPLES):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return BATCH / statistics.median(seconds)


def main():
    torch.set_num_threads(THREADS)
    for name in sys.argv[1:] or MODELS:
        net = timm.create_model(name, pretrained=False, num_classes=10).to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
        labels = torch.arange(BATCH) % 10

        def images(side):
            return torch.randn(BATCH, 3, side, side).to(memory_format=torch.channels_last)

        def forward(x):
            net.eval()
            with torch.inference_mode():
                net.forward_head(net.forward_features(x), pre_logits=True)

        def step(x):
            net.train()
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(x), labels)
            loss.backward()
            optimizer.step()
            loss.item()

        results = []
        for label, work, side in (("forward", forward, 224), ("step", step, 224), ("step", step, 96)):
            if "vit" in name and side != 224:
                continue
            x = images(side)
            results.append(f"{label} {side}: {rate(lambda: work(x)):.1f}")
        print(name, "  ".join(results), flush=True)


if __name__ == "__main__":
    main()
