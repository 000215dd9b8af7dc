#!/usr/bin/env python3
"""PyTorch's and timm's side of `make bench-train`: the requests and answers of `benches/train.rs`.

2 threads, fp32. `channels_last` or `contiguous` as the one argument is the memory format; the harness asks both and
counts the quicker one. `bf16` is channels_last under autocast. Fine-tunes are what people write: frozen layers in eval mode under no_grad, run in each epoch.
"""
import json
import os
import sys
import time
from pathlib import Path

import timm
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

sys.path.insert(0, str(Path(__file__).resolve().parent))
import pytorch_decoders as decoders  # noqa: E402

CLASSES, SIDE = 10, int(os.environ.get("BENCH_SIDE", 224))
THREADS = int(os.environ.get("RAYON_NUM_THREADS", 2))
FORMAT = torch.contiguous_format if sys.argv[1:] == ["contiguous"] else torch.channels_last
BF16 = sys.argv[1:] == ["bf16"]
kept = {}


def transform(side):
    """What timm makes for crop_pct 0.875."""
    steps = [transforms.Resize(int(side / 0.875)), transforms.CenterCrop(side), transforms.ToTensor()]
    return transforms.Compose([*steps, transforms.Normalize([0.485, 0.456, 0.406], [0.25] * 3)])


def optimizer_of(parameters, lr):
    return torch.optim.SGD(parameters, lr=lr, momentum=0.9, nesterov=True, weight_decay=5e-4)


def prepare(architecture, side, batch):
    name = (architecture, side, batch)
    if name not in kept and "/" in architecture:
        kept.clear()
        base, decoder = architecture.split("/")
        net = decoders.Decoding(timm.create_model(base, pretrained=False, features_only=True, out_indices=(1, 2, 3, 4)), decoder).to(memory_format=FORMAT)
        images = torch.randn(batch, 3, side, side).to(memory_format=FORMAT)
        masks = (torch.arange(batch * side * side) // 7 % 3 == 0).long().reshape(batch, side, side)
        kept[name] = (net, optimizer_of(net.parameters(), 1e-3), images, masks)
    if name not in kept:
        kept.clear()
        net = timm.create_model(architecture, pretrained=False, num_classes=CLASSES, img_size=side) if architecture.startswith("vit") else \
            timm.create_model(architecture, pretrained=False, num_classes=CLASSES)
        net = net.to(memory_format=FORMAT)
        images = torch.randn(batch, 3, side, side).to(memory_format=FORMAT)
        kept[name] = (net, optimizer_of(net.parameters(), 1e-3), images, torch.arange(batch) % CLASSES)
    return kept[name]


def forward(net, optimizer, images, labels):
    net.eval()
    with torch.inference_mode():
        net.forward_head(net.forward_features(images), pre_logits=True)


def step(net, optimizer, images, labels):
    net.train()
    optimizer.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=BF16):
        logits = net(images)
    loss = torch.nn.functional.cross_entropy(logits.float(), labels) if labels.dim() == 1 else decoders.loss(logits.float(), labels)
    loss.backward()
    optimizer.step()
    loss.item()


def seconds(count, work):
    timed = []
    for _ in range(count):
        began = time.perf_counter()
        work()
        timed.append(time.perf_counter() - began)
    return {"seconds": timed}


def status_bytes(field):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) << 10


def memory(prepared, count):
    Path("/proc/self/clear_refs").write_text("5")
    before = status_bytes("VmRSS:")
    for _ in range(count):
        step(*prepared)
    return {"bytes": max(status_bytes("VmHWM:") - before, 0)}


def decode(folder, count):
    paths = iter(sorted(path for path in Path(folder).rglob("*") if path.is_file())[:count])
    prepared = transform(224)

    def one():
        with Image.open(next(paths)) as image:
            prepared(image.convert("RGB"))

    torch.set_num_threads(1)  # A second one would be waited for, and the waiting counted.
    timed = []
    for _ in range(count):
        began = time.thread_time()
        one()
        timed.append(time.thread_time() - began)
    torch.set_num_threads(THREADS)
    return {"seconds": timed}


def layers(net, frozen):
    """The children that are frozen and those that learn; `frozen` counts stem, layer1, layer2 ... of a ResNet."""
    stem = [net.conv1, net.bn1, net.act1, net.maxpool]
    stages = [torch.nn.Sequential(*stem), net.layer1, net.layer2, net.layer3, net.layer4]
    return torch.nn.Sequential(*stages[:frozen]), torch.nn.Sequential(*stages[frozen:])


def job(architecture, frozen, epochs, batch, cache, seed, folder, weights, scratch):
    """A whole fine-tune that runs the frozen layers in each epoch; `cache` is the hub's."""
    from safetensors.torch import load_file, save_model

    began = time.perf_counter()
    torch.manual_seed(int(seed))
    data = {split: datasets.ImageFolder(Path(folder) / split, transform(SIDE)) for split in ("train", "val")}
    loaders = {
        split: DataLoader(data[split], int(batch), shuffle=split == "train", num_workers=2, persistent_workers=True, drop_last=False)
        for split in data
    }
    net = timm.create_model(architecture, pretrained=False, num_classes=CLASSES)
    net.load_state_dict(load_file(weights))
    net = net.to(memory_format=FORMAT)
    if frozen == "head":
        below = lambda x: net.forward_head(net.forward_features(x), pre_logits=True)  # noqa: E731
        above = torch.nn.Linear(net.num_features, CLASSES)
        optimizer = optimizer_of(above.parameters(), 1e-2)
        learning = above
    else:
        below, upper = layers(net, int(frozen))
        net.reset_classifier(CLASSES)
        above = lambda x: net.forward_head(upper(x))  # noqa: E731
        optimizer = optimizer_of([*upper.parameters(), *net.fc.parameters()], 1e-3)
        learning = upper
    best = 0.0
    for _ in range(int(epochs)):
        net.eval()
        learning.train()
        for images, labels in loaders["train"]:
            with torch.no_grad():
                features = below(images.to(memory_format=FORMAT))
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(above(features), labels).backward()
            optimizer.step()
        learning.eval()
        with torch.inference_mode():
            right = [(above(below(images.to(memory_format=FORMAT))).argmax(1) == labels).sum().item() for images, labels in loaders["val"]]
        best = max(best, sum(right) / len(data["val"]))
    save_model(net, str(Path(scratch) / "pytorch.safetensors"))
    return {"seconds": [time.perf_counter() - began], "top1": best}


def answer(words):
    match words:
        case ["decode", folder, count]:
            return decode(folder, int(count))
        case ["job", *rest]:
            return job(*rest)
        case [work, architecture, side, batch, count]:
            if architecture.split("/")[0] not in timm.list_models():
                return {"skip": f"timm does not know {architecture}"}
            prepared = prepare(architecture, int(side), int(batch))
            if work == "memory":
                return memory(prepared, int(count))
            return seconds(int(count), lambda: {"forward": forward, "step": step}[work](*prepared))
    return {"skip": f"there is no work called {words}"}


def main():
    torch.set_num_threads(THREADS)
    for line in sys.stdin:
        print(json.dumps(answer(line.split())), flush=True)


if __name__ == "__main__":
    main()
