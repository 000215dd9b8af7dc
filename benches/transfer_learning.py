#!/usr/bin/env python3
"""Strategies on real weights and real data: `make bench-transfer-learning` prints a table, and `ratio NAME VALUE` lines beside PyTorch.

    python3 benches/transfer_learning.py ASSETS [--sets fashion,stamps5] [--bases lite0,mobilenetv2] [--strategies auto,head] [--seeds 3]
                                         [--peers probe,full,lp-ft,gradual] [--peer-seeds 1] [--rows FILE]

ASSETS (or BENCH_ASSETS) is a folder with fashion_mnist_4k.zip, stamps5_photos.zip, bccd_cells.zip and nuclei_dev.zip; sets that are not there are
named and passed over. Whole jobs of a real hub with one worker, from the queue to the published model; beside them timm + PyTorch with the same recipe and scikit-learn on the same
features for the probe (`benches/pytorch_transfer.py`), in the same run. BENCH_HUB names a hub that is built already.
"""
import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from kit import HUB, Peer, build_hub, hub_server, ratio, run, worker  # noqa: E402

SETS = {"fashion": ("fashion_mnist_4k.zip", 96, "classes"), "stamps5": ("stamps5_photos.zip", 224, "classes"),
        "bccd": ("bccd_cells.zip", 96, "classes"), "nuclei": ("nuclei_dev.zip", 224, "values")}
BASES = {"lite0": "tf_efficientnet_lite0", "mobilenetv2": "mobilenetv2_100"}
# What `auto` may lie below its probe, and what it is to reach.
BELOW, GOALS = 0.005, {("fashion", "best"): 0.87, ("stamps5", "mobilenetv2"): 0.96}


def words():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("assets", nargs="?", default=os.environ.get("BENCH_ASSETS"))
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--bases", default=",".join(BASES))
    parser.add_argument("--strategies", default="auto,head,lp-ft,gradual,full")
    parser.add_argument("--peers", default="probe,full,lp-ft,gradual")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--peer-seeds", type=int, help="of PyTorch, where its minutes are dear (default: as many)")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rows", type=Path, help="a file to which each run is added as it ends, a line of JSON each")
    return parser.parse_args()


def unpacked(archive, folder, task):
    """The data set as a folder; of nuclei the images with their counts as targets."""
    with zipfile.ZipFile(archive) as zipped:
        zipped.extractall(folder)
    for text in folder.glob("README*"):
        text.unlink()
    if task == "values":
        labels = next(folder.rglob("labels.csv"))
        rows = list(csv.DictReader(open(labels)))
        wanted = folder / "counts"
        for row in rows:
            split, name = row["file"].split("/")[0], Path(row["file"]).name
            target = wanted / split / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (folder / row["file"]).rename(target)
        for split in ("train", "val"):
            with open(wanted / split / "metadata.csv", "w") as table:
                table.write("file_name,target\n")
                table.writelines(f"{Path(row['file']).name},{row['count']}\n" for row in rows if row["file"].startswith(split + "/"))
        return wanted
    return folder


class Hub:
    def __init__(self, address, token, work):
        self.address, self.token = address, token
        self.environment = {**os.environ, "HUB_SERVER": address, "HUB_TOKEN": token, "HUB_CACHE": str(work / "cache")}

    def run(self, *command):
        done = subprocess.run([str(part) for part in (HUB, *command)], env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode:
            sys.exit(f"hub {' '.join(map(str, command))}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def metrics(self, name):
        request = urllib.request.Request(f"{self.address}/api/v1/models/{name}/versions/main/files/metrics.json", headers={"Authorization": f"Bearer {self.token}"})
        return json.load(urllib.request.urlopen(request))

    def tune(self, base, data, strategy, seed, epochs, side):
        name = f"library/{base.replace('_', '-')}-{data}-{strategy}-{seed}"
        # What is worse than its probe is a row of the table, too.
        recipe = ("--strategy", strategy, "--seed", seed, "--epochs", epochs, "--image-size", side, "--set", "publish_anyway=true")
        self.run("finetune", "--base", base, "--dataset", f"library/{data}", "--name", name, *recipe, "--watch", "--quiet")
        return self.metrics(name)


def epochs_to(curve, rises, best):
    """Epochs until nine tenths of the way from nothing (for errors: from the first epoch) to the best are gone."""
    if rises:
        return next(at + 1 for at, value in enumerate(curve) if value >= 0.9 * best)
    return next(at + 1 for at, value in enumerate(curve) if value <= best + 0.1 * (curve[0] - best))


def summary(values, digits=4):
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.{digits}f} ± {spread:.{digits}f}"


def keep(asked, **told):
    """A bench of hours is not lost with its last minute."""
    if asked.rows:
        with open(asked.rows, "a") as rows:
            rows.write(json.dumps(told) + "\n")


def row(name, values, reached, minutes, note=""):
    print(f"| {name} | {summary(values)} | {statistics.mean(reached):.1f} | {statistics.mean(minutes):.2f} | {note} |", flush=True)


def measure(hub, peer, asked, data, folder, base, path):
    side, task = SETS[data][1:]
    primary, rises = ("top1", True) if task == "classes" else ("rmse", False)
    found = {}
    for strategy in asked.strategies.split(","):
        runs = [hub.tune(BASES[base], data, strategy, seed, asked.epochs, side) for seed in range(asked.seeds)]
        curves = [[epoch[f"val_{primary}"] for epoch in each["epochs"]] for each in runs]
        values, minutes = [each["validation"][primary] for each in runs], [each["seconds"] / 60 for each in runs]
        choice = (runs[0].get("choice") or {}).get("strategy", "")
        for seed, (value, took) in enumerate(zip(values, minutes)):
            keep(asked, who="hub", data=data, base=base, strategy=strategy, seed=seed, value=value, minutes=took)
        row(f"{data}, {base}: hub {strategy}", values, [epochs_to(curve, rises, max(curve) if rises else min(curve)) for curve in curves], minutes, choice)
        found[strategy] = (values, minutes)
        if strategy == "auto":
            for each in runs:
                ours, probe = each["validation"][primary], each["probe"][primary]
                if (ours < probe - BELOW) if rises else (ours > probe * (1 + BELOW)):
                    print(f"goal missed: {data}, {base}: auto ends at {ours:.4f}, its probe at {probe:.4f}", flush=True)
    for mode in filter(None, asked.peers.split(",")):
        seeds = 1 if mode == "probe" else asked.peer_seeds or asked.seeds
        runs = [peer.ask(base=str(path), data=str(folder), side=side, mode=mode, epochs=asked.epochs, seed=seed, task=task) for seed in range(seeds)]
        best = max if rises else min
        values, minutes = [each["primary"] for each in runs], [each["seconds"] / 60 for each in runs]
        for seed, (value, took) in enumerate(zip(values, minutes)):
            keep(asked, who="peer", data=data, base=base, strategy=mode, seed=seed, value=value, minutes=took)
        who = "scikit-learn probe" if mode == "probe" else f"PyTorch {mode}"
        row(f"{data}, {base}: {who}", values, [epochs_to(each["curve"], rises, best(each["curve"])) for each in runs], minutes)
        ours = found.get("head" if mode == "probe" else mode)
        if ours:
            gap = statistics.mean(ours[0]) - statistics.mean(values)
            ratio(f"transfer/{data}/{base}/{mode}/seconds", statistics.mean(minutes) / statistics.mean(ours[1]))
            print(f"gap transfer/{data}/{base}/{mode} {gap if rises else -gap:+.4f}", flush=True)
    return found


def main():
    asked = words()
    if not asked.assets or not Path(asked.assets).is_dir():
        sys.exit("say where the data sets are: python3 benches/transfer_learning.py FOLDER, or BENCH_ASSETS=FOLDER")
    build_hub()
    weights = run("bash", "examples/fetch_weights.sh", stdout=subprocess.PIPE).stdout.split()
    with tempfile.TemporaryDirectory(prefix="hub-bench.") as folder:
        work = Path(folder)
        with hub_server(work / "data") as (address, token, _), worker(work / "data"):
            hub = Hub(address, token, work)
            peer = Peer("pytorch_transfer.py", "transfer", "torch", "torchvision", "timm", "scikit-learn", "safetensors")
            paths = {}
            for base, file in zip(BASES, weights):
                if base in asked.bases.split(","):
                    hub.run("import", file, f"library/{BASES[base]}")
                    paths[base] = Path(hub.run("pull", BASES[base], "--quiet"))
            print("| run | top-1 or RMSE | epochs to 90 % | minutes | auto chose |\n| --- | --- | --- | --- | --- |", flush=True)
            for data in asked.sets.split(","):
                archive = Path(asked.assets) / SETS[data][0]
                if not archive.exists():
                    print(f"{data}: {archive} is not there; passed over", flush=True)
                    continue
                unzipped = unpacked(archive, work / data, SETS[data][2])
                hub.run("publish", unzipped, f"library/{data}", "--dataset", "--quiet")
                for base, path in paths.items():
                    found = measure(hub, peer, asked, data, unzipped, base, path)
                    goal = GOALS.get((data, base)) or GOALS.get((data, "best"))
                    if goal and "auto" in found:
                        reached = statistics.mean(found["auto"][0])
                        print(f"goal {data}, {base}: auto {reached:.4f}, wanted {goal}: {'reached' if reached >= goal else 'missed'}", flush=True)


if __name__ == "__main__":
    main()
