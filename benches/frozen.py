#!/usr/bin/env python3
"""Whether keeping what frozen stages answer changes what a fine-tune learns: the same fine-tunes with and without.
With `--bf16`: whether `precision = bf16` does.

    python3 benches/frozen.py IMAGES BASE [FROZEN] [EPOCHS] [--bf16]

IMAGES is a folder per class (`examples/fashion_mnist_4k.zip`, unpacked), BASE a model folder (`hub import ... --to`).
For three seeds: the numbers of both, how far they lie apart, and how far other seeds do. The best epoch is often chosen between
near ties, so its top-1 may jump by an image or two; the last epoch's numbers are compared without that choice.
BENCH_PER_CLASS bounds the images of each class (a quarter of them to validate on), BENCH_SIDE is the input side.
"""
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from train import Side, runner  # noqa: E402

PER_CLASS = int(os.environ.get("BENCH_PER_CLASS", 150))
SEEDS = (0, 1, 2)


def subset(source, folder):
    """The first images of each class, three quarters in `train`, the rest in `val`."""
    classes = source / "train" if (source / "train").is_dir() else source
    for label in sorted(path for path in classes.iterdir() if path.is_dir()):
        for index, image in enumerate(sorted(label.iterdir())[:PER_CLASS]):
            target = folder / ("val" if index % 4 == 3 else "train") / label.name / image.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(image.read_bytes())
    return folder


def main():
    words = [word for word in sys.argv[1:] if word != "--bf16"]
    source, base = Path(words[0]), Path(words[1])
    architecture = json.loads((base / "config.json").read_text())["architecture"]
    frozen, epochs = (words[2:] + ["5", "5"][len(words[2:]) :])[:2]
    os.environ.setdefault("BENCH_SIDE", "96")
    program = runner("train")
    if "--bf16" in sys.argv:
        ways = {"bf16": (Side("bf16", program, "onednn", "bf16"), "off"), "f32": (Side("f32", program, "onednn"), "off")}
    else:
        hub = Side("hub", program, "rust")
        ways = {"kept": (hub, "own"), "without": (hub, "off")}
    new, old = ways
    with tempfile.TemporaryDirectory(prefix="hub-bench.") as folder:
        data, found = subset(source, Path(folder) / "data"), {}
        for seed in SEEDS:
            for way, (hub, keep) in ways.items():
                work = Path(folder) / f"{way}{seed}"
                work.mkdir()
                answer = hub.ask("job", architecture, frozen, epochs, 32, keep, seed, data, base / "model.safetensors", work)
                if "skip" in answer:
                    sys.exit(answer["skip"])
                found[seed, way] = answer
                print(f"seed {seed} {way:7}: best top-1 {answer['top1']:.4f}, last epoch {answer['last_top1']:.4f}, loss {answer['last_loss']:.5f}, trained to {answer['last_train_loss']:.5f}; {answer['seconds'][0]:.1f} s ({answer['frozen']})", flush=True)
    for hub, _ in ways.values():
        hub.end()
    for number in ("top1", "last_top1", "last_loss", "last_train_loss"):
        ours, theirs = ([found[seed, way][number] for seed in SEEDS] for way in ways)
        apart = max(abs(a - b) for a, b in zip(ours, theirs))
        print(f"{number}: {new} {statistics.mean(ours):.5f}, {old} {statistics.mean(theirs):.5f}, at most {apart:.5f} apart; seeds lie {max(theirs) - min(theirs):.5f} apart")


if __name__ == "__main__":
    main()
