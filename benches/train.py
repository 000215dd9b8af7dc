#!/usr/bin/env python3
"""Training beside PyTorch + timm, in one run on one machine: `make bench-train` prints `ratio NAME VALUE` lines and
writes docs/BENCHMARKS.md; `make bench` is the short form (fewer rounds, no whole jobs, writes nothing).

Both sides are processes that answer the same requests (`benches/train.rs`, `benches/pytorch.py`) and take turns, so that
a slow moment of the machine meets both. Each figure is a median over rounds; above 1 the hub is faster (for memory: takes
less). PyTorch's figure is that of its quicker memory format. Noise is the spread of the rounds: half the distance between
the quartiles, as a share of the median.

    python3 benches/train.py [--short] [PATTERN ...]      only the rows whose names contain a pattern
"""
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from kit import ROOT, jpegs, python_with, ratio, run  # noqa: E402

BACKENDS = ["rust", "onednn"]
FORMATS = ["channels_last", "contiguous"]
NETWORKS = [
    ("resnet18", 96, 32),
    ("resnet18", 224, 16),
    ("resnet50", 224, 16),
    ("mobilenetv2_100", 224, 16),
    ("mobilenetv3_small_100", 224, 16),
    ("tf_efficientnet_lite0", 224, 16),
    ("vit_tiny_patch16_224", 224, 16),
    # With ResNet-18 and -50, MobileNetV2 and V3, what people pull most (docs/LIBRARY.md).
    ("efficientnet_b0", 224, 16),
    ("convnext_tiny", 224, 16),
    ("vit_base_patch16_224", 224, 8),
    ("swin_tiny_patch4_window7_224", 224, 16),
]
ROUNDS = int(os.environ.get("BENCH_ROUNDS", 7))
IMAGES = int(os.environ.get("BENCH_IMAGES", 2000))
FROZEN_IMAGES = int(os.environ.get("BENCH_FROZEN_IMAGES", 600))
JOB_ROUNDS = int(os.environ.get("BENCH_JOB_ROUNDS", 3))
THREADS = os.environ.get("RAYON_NUM_THREADS", "2")


def runner(bench):
    """A bench of the hub's, built with cargo unless it is given."""
    if given := os.environ.get(f"BENCH_{bench.upper()}_RUNNER"):
        return given
    built = run("cargo", "bench", "--bench", bench, "--no-run", "--message-format", "json", stdout=subprocess.PIPE).stdout
    artifacts = [json.loads(line) for line in built.splitlines() if line.startswith("{")]
    return next(a["executable"] for a in artifacts if a.get("executable") and a["target"]["name"] == bench)


class Side:
    """A process that answers requests."""

    def __init__(self, name, *command):
        self.name, self.command, self.process = name, command, None

    def ask(self, *words):
        if self.process is None:
            environment = {**os.environ, "RAYON_NUM_THREADS": THREADS, "OMP_NUM_THREADS": THREADS}
            self.process = subprocess.Popen(
                [str(part) for part in self.command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                text=True, env=environment, cwd=ROOT,
            )
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            return self.end() or {"skip": f"{self.name} ended at `{' '.join(map(str, words))}`"}
        return json.loads(line)

    def end(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait()
            self.process = None


def noise(values):
    if len(values) < 4:
        return (max(values) - min(values)) / 2 / statistics.median(values)
    low, _, high = statistics.quantiles(values, n=4)
    return (high - low) / 2 / statistics.median(values)


def turns(sides, rounds, *words):
    """{side: list of seconds}: each side works once per round; who cannot is left out with its reason."""
    times, reasons = {}, {}
    for number in range(rounds + 1 if rounds > 1 else 1):
        for side in sides:
            if side.name in reasons:
                continue
            answer = side.ask(*words)
            if "skip" in answer:
                reasons[side.name] = answer["skip"]
            elif number > 0 or rounds == 1:  # The first round warms up.
                times.setdefault(side.name, []).append(statistics.median(answer["seconds"]))
    return times, reasons


class Table:
    """What is printed and written."""

    def __init__(self):
        self.rows, self.notes = [], []

    def add(self, name, unit, better, ours, theirs, spread):
        """`better` turns (ours, theirs) into a ratio above 1 where the hub is ahead."""
        cells = {}
        for backend, value in ours.items():
            cells[backend] = (value, better(value, theirs))
            ratio(name if backend == "rust" else f"{name}/{backend}", cells[backend][1])
        self.rows.append((name, unit, theirs, cells, spread))

    def skip(self, name, who, why):
        line = f"{name}: {who} skipped, {why}"
        print(line, flush=True)
        if line not in self.notes:
            self.notes.append(line)

    def markdown(self):
        backends = [b for b in BACKENDS if any(b in cells for *_, cells, _ in self.rows)]
        head = ["work", "unit", "PyTorch", *(f"hub, {b} | ratio" for b in backends), "noise"]
        lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * (len(head) + len(backends))]
        for name, unit, theirs, cells, spread in self.rows:
            ours = [f"{cells[b][0]:.4g} | {cells[b][1]:.2f}" if b in cells else "- | -" for b in backends]
            lines.append(f"| {name} | {unit} | {theirs:.4g} | " + " | ".join(ours) + f" | ±{100 * spread:.0f} % |")
        return "\n".join(lines) + "".join(f"\n\n{note}" for note in self.notes)


def compare(table, name, hubs, torches, rounds, unit, value, *words):
    """One row: `value` turns median seconds into what is shown; more of it is better unless the unit is seconds."""
    times, reasons = turns([*hubs, *torches], rounds, *words)
    for who, why in reasons.items():
        table.skip(name, who, why)
    theirs = [statistics.median(times[side.name]) for side in torches if side.name in times]
    ours = {side.name: statistics.median(times[side.name]) for side in hubs if side.name in times}
    if not theirs or not ours:
        return
    quicker = value(min(theirs))
    better = (lambda a, b: b / a) if unit == "s" else (lambda a, b: a / b)
    table.add(name, unit, better, {who: value(median) for who, median in ours.items()}, quicker, max(noise(list_) for list_ in times.values()))


def compare_networks(table, hubs, torches, wanted, rounds):
    for work in ("forward", "step"):
        for architecture, side, batch in NETWORKS:
            name = f"{work}/{architecture}/{side}"
            if wanted(name):
                compare(table, name, hubs, torches, rounds, "images/s", lambda s, b=batch: b / s, work, architecture, side, batch, 2)


def compare_rounded(table, program, python, wanted, rounds):
    """bf16 products with f32 weights and sums: `precision = bf16` of a recipe beside autocast."""
    hub, torch = Side("onednn", program, "onednn", "bf16"), Side("bf16", python, ROOT / "benches" / "pytorch.py", "bf16")
    for architecture, side, batch in NETWORKS:
        name = f"step-bf16/{architecture}/{side}"
        if wanted(name):
            compare(table, name, [hub], [torch], rounds, "images/s", lambda s, b=batch: b / s, "step", architecture, side, batch, 2)
    hub.end()
    torch.end()


def compare_memory(table, hubs, torches, wanted):
    """Each figure from a process of its own, since memory that was freed is not always given back."""
    for architecture, side, batch in NETWORKS:
        name = f"memory/{architecture}/{side}"
        if not wanted(name):
            continue
        bytes_ = {}
        for one in [*hubs, *torches]:
            one.end()
            answer = one.ask("memory", architecture, side, batch, 4)
            one.end()
            if "skip" in answer:
                table.skip(name, one.name, answer["skip"])
            else:
                bytes_[one.name] = answer["bytes"] / (1 << 20)
        theirs = [bytes_[side.name] for side in torches if side.name in bytes_]
        ours = {side.name: bytes_[side.name] for side in hubs if side.name in bytes_}
        if theirs and ours:
            table.add(name, "MiB", lambda a, b: b / a, ours, min(theirs), 0.0)


def profile(hub, wanted):
    """Where the hub's steps spend their time: a table of shares, parts with little in every network together."""
    shares = {}
    for architecture, side, batch in NETWORKS:
        name = f"profile/{architecture}/{side}"
        if not wanted(name):
            continue
        hub.ask("step", architecture, side, batch, 2)
        answer = hub.ask("profile", architecture, side, batch, 8)
        if "parts" in answer:
            whole = sum(answer["seconds"])
            shares[f"{architecture}/{side}", 1000 * whole / 8] = {part: took / whole for part, took in answer["parts"].items()}
    parts = {part: max(row.get(part, 0) for row in shares.values()) for row in shares.values() for part in row}
    shown = [part for part in sorted(parts, key=parts.get, reverse=True) if parts[part] >= 0.02]
    lines = ["| step of | ms | " + " | ".join([*shown, "rest"]) + " |", "|" + " --- |" * (len(shown) + 3)]
    for (name, took), row in shares.items():
        cells = [row.get(part, 0) for part in shown]
        lines.append(f"| {name} | {took:.0f} | " + " | ".join(f"{100 * cell:.0f} %" for cell in [*cells, 1 - sum(cells)]) + " |")
    return "\n".join(lines)


def compare_decoding(table, hub, torch, wanted, work, rounds):
    if wanted("decode"):
        folder = jpegs(work / "decode", 100, 0)
        compare(table, "decode", [hub], [torch], rounds, "images/s", lambda s: 1 / s, "decode", folder, 100)


def compare_jobs(table, hubs, torches, wanted, work):
    """Whole fine-tunes of ten epochs, each side with the same images and weights."""
    rows = [
        ("job/head-only/tf_efficientnet_lite0", "tf_efficientnet_lite0", "head", IMAGES),
        ("job/freeze-stem..stage3/resnet50", "resnet50", "4", FROZEN_IMAGES),
    ]
    for name, architecture, frozen, images in rows:
        if not wanted(name):
            continue
        data = jpegs(work / name.replace("/", "-"), images, images // 10)
        weights = work / f"{architecture}.safetensors"
        hubs[0].ask("weights", architecture, 10, weights)
        # `own`: nothing is found from the round before.
        words = ["job", architecture, frozen, 10, 32, "own", 0, data, weights, work]
        compare(table, name, hubs, torches[:1], JOB_ROUNDS, "s", lambda s: s, *words)


def machine(torch_python):
    """One line each: what the figures were measured on and with."""
    cpu = next(line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    versions = run(torch_python, "-c", "import torch, timm; print(torch.__version__, timm.__version__)", stdout=subprocess.PIPE).stdout.split()
    commit = run("git", "rev-parse", "--short", "HEAD", stdout=subprocess.PIPE).stdout.strip()
    rustc = run("rustc", "--version", stdout=subprocess.PIPE).stdout.split()[1]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 30
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{time.strftime('%Y-%m-%d')}; {cpu}, {os.cpu_count()} cores, {memory} GiB, {platform.system()} {platform.release()}; {THREADS} threads.\n"
        f"Hub {commit} (rustc {rustc}), PyTorch {versions[0]}, timm {versions[1]}. Load averages when it ended: {load}."
    )


PAGE = """# Benchmarks

Written by `make bench-train`; run it again on your machine.

{machine}

Both sides took turns in one run; each figure is the median of {rounds} rounds ({job_rounds} for whole jobs), and noise is half the
distance between the quartiles of the noisier side. Ratios above 1 say that the hub is ahead: it is faster, or takes less memory.
PyTorch's figure is that of its quicker memory format (for memory: of the smaller one; for jobs and bf16: of channels_last), in fp32
unless the row says otherwise.

- `forward`: eval mode, images to pooled features. `step`: forward, loss, backward and SGD update of every parameter.
- `step-bf16`: the same with the recipe's `precision = bf16`, beside `torch.autocast`, which also keeps maps in bf16.
- `memory`: how much the resident set grows over four such steps, each in a new process.
- `decode`: 500x375 JPEGs to normalised 224x224 input on one core, beside PIL with torchvision's transforms.
- `job`: a whole fine-tune of ten epochs, from files to the folder that is published, beside a PyTorch script with a
  `DataLoader` of two workers that runs the frozen layers in each epoch: {images} images for `head-only`, {frozen} for
  `freeze-stem..stage3`, and a tenth more to validate on. The hub runs frozen stages once for each view
  ([FINETUNE.md](FINETUNE.md)) and finds nothing from earlier runs here.

{table}

## Where a step's time goes

Shares of a step of the hub ({backend}), by what its thread waits for. A convolution's share holds the statistics of the norm
behind it, gathered while its output is in the cache; that of the input gradient holds the norm's second pass for the same reason.

{profile}

## Convolutions beside the machine's peak

GFLOP/s of the layers of these networks, and their share of what all threads multiply and add in registers in f32 (`cargo bench --bench kernels`).

{kernels}
"""


def main():
    short = "--short" in sys.argv
    patterns = [word for word in sys.argv[1:] if not word.startswith("--")]

    def wanted(name):
        return not patterns or any(pattern in name for pattern in patterns)

    program, python = runner("train"), python_with("torch", "torch", "timm")
    hubs = [Side(backend, program, backend) for backend in BACKENDS]
    table, present = Table(), []
    for hub in hubs:
        answer = hub.ask("forward", "resnet18", 32, 1, 1)
        if "skip" in answer:
            table.skip("all", hub.name, answer["skip"])
            hub.end()
        else:
            present.append(hub)
    torches = [Side(name, python, ROOT / "benches" / "pytorch.py", name) for name in FORMATS]
    rounds = 3 if short else ROUNDS
    with tempfile.TemporaryDirectory(prefix="hub-bench.") as folder:
        work = Path(folder)
        compare_networks(table, present, torches, wanted, rounds)
        compare_decoding(table, present[0], torches[0], wanted, work, rounds)
        if not short:
            compare_rounded(table, program, python, wanted, rounds)
            compare_memory(table, present, torches, wanted)
            compare_jobs(table, present, torches, wanted, work)
    for torch in torches:
        torch.end()
    steps = "" if short else profile(present[-1], wanted)
    for side in present:
        side.end()
    print(table.markdown(), steps, sep="\n\n")
    if not short and not patterns:
        kernels = run(runner("kernels"), "--bench", stdout=subprocess.PIPE, env={**os.environ, "RAYON_NUM_THREADS": THREADS}).stdout
        print(kernels)
        page = PAGE.format(
            machine=machine(python), rounds=rounds, job_rounds=JOB_ROUNDS, images=IMAGES, frozen=FROZEN_IMAGES, table=table.markdown(),
            backend=present[-1].name, profile=steps, kernels=kernels.replace("\n| layer", "\n\n| layer").strip(),
        )
        path = ROOT / "docs" / "BENCHMARKS.md"
        # What another bench measured stays.
        _, heading, kept = path.read_text().partition("\n## Beside heavy requests")
        path.write_text(page.rstrip("\n") + "\n" + heading + kept)


if __name__ == "__main__":
    main()
