#!/usr/bin/env python3
"""Bytes beside their peers, in one run on one machine: `make bench-transfer` prints `ratio NAME VALUE` lines.

Serving beside nginx (sendfile on and off; one and 32 clients), `hub pull` beside `hf download` from the same hub and
beside `curl` piped into `sha256sum`, `hub publish` beside `hf upload` to the same hub and beside plain copying. Above 1 the hub is faster (for cpu: cheaper).
Rounds alternate between the peers; each figure is a median. Client caches lie in memory (/dev/shm) so that the disk,
which is the same for all, does not drown the difference; the last table repeats the big pull on the disk, where the
hub alone waits until its bytes are safe. The last part (`pulls`) is in pulls.py: 500 clients at once through two nodes.

BENCH_PARTS=serve,pull,disk,publish,sharing,pulls chooses.
"""
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import pulls as at_once  # noqa: E402
from kit import HUB, build_hub, cpu_seconds, hub_server, nginx_server, python_with, ratio, run  # noqa: E402

BIG = int(os.environ.get("BENCH_BIG_MIB", 1024)) << 20
SMALL_FILES, SMALL_BYTES = int(os.environ.get("BENCH_FILES", 2000)), 20 << 10
ROUNDS = int(os.environ.get("BENCH_ROUNDS", 5))
PUBLISH_ROUNDS = max(ROUNDS // 2, 1)
PARTS = os.environ.get("BENCH_PARTS", "serve,pull,disk,publish,sharing,pulls").split(",")


def noise(path, size):
    with open(path, "wb") as file:
        for start in range(0, size, 1 << 20):
            file.write(os.urandom(min(1 << 20, size - start)))


def seconds(command, **options):
    begin = time.perf_counter()
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL, **options)
    return time.perf_counter() - begin


def fetch(url, clients):
    """Seconds until `clients` curls have the whole file."""
    begin = time.perf_counter()
    curls = [subprocess.Popen(["curl", "-fsS", "-o", "/dev/null", url]) for _ in range(clients)]
    if any(curl.wait() for curl in curls):
        sys.exit(f"curl failed on {url}")
    return time.perf_counter() - begin


def compare_serving(work, address, pid, folder):
    ours = f"{address}/api/v1/models/library/big/versions/1/files/weights.dat"
    with nginx_server(work / "on", folder, True) as on, nginx_server(work / "off", folder, False) as off:
        peers = {"hub": (ours, pid), "sendfile": (f"{on[0]}/weights.dat", on[1]), "no-sendfile": (f"{off[0]}/weights.dat", off[1])}
        for url, _ in peers.values():
            fetch(url, 1)
        for clients in (1, 32):
            speed, cpu = {name: [] for name in peers}, {name: [] for name in peers}
            for _ in range(ROUNDS if clients == 1 else max(ROUNDS // 2, 1)):
                for name, (url, server) in peers.items():
                    before = cpu_seconds(server)
                    took = fetch(url, clients)
                    speed[name].append(clients * BIG / took / 1e9)
                    cpu[name].append((cpu_seconds(server) - before) / (clients * BIG / 1e9))
            speed, cpu = ({name: statistics.median(list_) for name, list_ in of.items()} for of in (speed, cpu))
            for name in peers:
                print(f"serve, {clients:2} clients: {name:12} {speed[name]:5.2f} GB/s, {cpu[name]:5.2f} cpu s/GB")
            for peer in ("sendfile", "no-sendfile"):
                ratio(f"serve/{clients}-clients/{peer}", speed["hub"] / speed[peer])
                ratio(f"serve-cpu/{clients}-clients/{peer}", cpu[peer] / max(cpu["hub"], 1e-9))


def pulls(address, memory):
    """{name: command that fetches a model into an empty folder}"""
    hf = python_with("hf", "huggingface_hub").parent / "hf"

    def hub(model, cache):
        return [HUB, "pull", model, "--quiet"], {"HUB_SERVER": address, "HUB_CACHE": str(cache)}

    def hugging_face(model, cache):
        return [hf, "download", model, "--quiet"], {"HF_ENDPOINT": address, "HF_HOME": str(cache), "HF_HUB_DISABLE_TELEMETRY": "1"}

    return {"hub": hub, "hf": hugging_face}


def timed_pull(make, model, cache):
    shutil.rmtree(cache, ignore_errors=True)
    command, environment = make(model, cache)
    took = seconds(command, env={**os.environ, **environment}, stderr=subprocess.DEVNULL)
    shutil.rmtree(cache, ignore_errors=True)
    return took


def compare_pulls(address, memory):
    commands = pulls(address, memory)
    for model, what, size in (("library/big", f"one file of {BIG >> 20} MiB", BIG), ("library/small", f"{SMALL_FILES} files of 20 KiB", 0)):
        times = {name: [] for name in commands} | ({"curl | sha256sum": []} if size else {})
        for _ in range(ROUNDS):
            for name, make in commands.items():
                times[name].append(timed_pull(make, model, memory / "cache"))
            if size:
                url = f"{address}/api/v1/models/library/big/versions/1/files/weights.dat"
                pipe = f"curl -fsS {url} | tee {memory}/out | sha256sum"
                times["curl | sha256sum"].append(seconds(["bash", "-c", pipe]))
                (memory / "out").unlink()
        medians = {name: statistics.median(list_) for name, list_ in times.items()}
        for name, median in medians.items():
            print(f"pull, {what}: {name:16} {median:6.2f} s" + (f", {size / median / 1e9:.2f} GB/s" if size else f", {SMALL_FILES / median:.0f} files/s"))
        kind = "big" if size else "small"
        ratio(f"pull/{kind}/hf", medians["hf"] / medians["hub"])
        if size:
            ratio("pull/big/curl-sha256sum", medians["curl | sha256sum"] / medians["hub"])


def compare_on_disk(address, work):
    """The big pull where the cache lies on the disk: the hub has synced its bytes when it ends, hf has not."""
    commands = pulls(address, work)
    times = {name: [] for name in commands}
    for _ in range(3):
        for name, make in commands.items():
            times[name].append(timed_pull(make, "library/big", work / "cache"))
    medians = {name: statistics.median(list_) for name, list_ in times.items()}
    for name, took in medians.items():
        print(f"pull onto the disk: {name:4} {took:6.2f} s, {BIG / took / 1e9:.2f} GB/s")
    ratio("pull/big-on-disk/hf", medians["hf"] / medians["hub"])


def fill(folder, kind):
    """A folder of new noise: one big file, or many small ones."""
    folder.mkdir()
    if kind == "big":
        noise(folder / "weights.dat", BIG)
    for index in range(SMALL_FILES if kind == "small" else 0):
        noise(folder / f"{index:04}.dat", SMALL_BYTES)


def compare_publishing(address, token, work):
    """New bytes to a new repo, by the hub's own client and by `hf upload` to the same hub; and once more unchanged."""
    hf = python_with("hf", "huggingface_hub").parent / "hf"
    ours = {**os.environ, "HUB_SERVER": address, "HUB_TOKEN": token, "HUB_CACHE": str(work / "publish-cache")}
    theirs = {**os.environ, "HF_ENDPOINT": address, "HF_TOKEN": token, "HF_HOME": str(work / "hf-home"), "HF_HUB_DISABLE_TELEMETRY": "1"}
    commands = {
        "hub": lambda repo, folder: ([HUB, "publish", folder, repo, "--quiet"], ours),
        "hf": lambda repo, folder: ([hf, "upload", repo, folder, ".", "--quiet"], theirs),
    }
    for kind in ("big", "small"):
        first, again, copied = ({name: [] for name in commands} for _ in range(3))
        for turn in range(PUBLISH_ROUNDS):
            for name, make in commands.items():
                folder = work / "publish"
                fill(folder, kind)
                command, environment = make(f"library/{name}-{kind}-{turn}", folder)
                first[name].append(seconds(command, env=environment, stderr=subprocess.DEVNULL))
                again[name].append(seconds(command, env=environment, stderr=subprocess.DEVNULL))
                copied[name].append(seconds(["bash", "-c", f"cp -r {folder} {work}/copy && sync {work}/copy/* && rm -rf {work}/copy"]))
                shutil.rmtree(folder)
        for name in commands:
            new, same = statistics.median(first[name]), statistics.median(again[name])
            print(f"publish {kind}: {name:4} {new:6.2f} s, unchanged again {same:6.3f} s")
        ratio(f"publish/{kind}/hf", statistics.median(first["hf"]) / statistics.median(first["hub"]))
        ratio(f"publish/{kind}/cp-sync", statistics.median(copied["hub"]) / statistics.median(first["hub"]))


def beside_peers():
    memory_root = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="hub-bench.") as folder, tempfile.TemporaryDirectory(prefix="hub-bench.", dir=memory_root) as memory:
        work, memory = Path(folder), Path(memory)
        os.chmod(work, 0o755)
        folders = {name: work / name for name in ("big", "small")}
        for kind, path in folders.items():
            fill(path, kind)
        with hub_server(work / "data") as (address, token, pid):
            publisher = {**os.environ, "HUB_SERVER": address, "HUB_TOKEN": token}
            for name, path in folders.items():
                seconds([HUB, "publish", path, f"library/{name}", "--quiet"], env=publisher)
            if "serve" in PARTS:
                compare_serving(work, address, pid, folders["big"])
            if "pull" in PARTS:
                compare_pulls(address, memory)
            if "disk" in PARTS:
                compare_on_disk(address, work)
            if "publish" in PARTS:
                compare_publishing(address, token, work)


def main():
    build_hub()
    if {"serve", "pull", "disk", "publish"} & set(PARTS):
        beside_peers()
    if "sharing" in PARTS:
        # A ResNet-50, a fine-tune of its upper part, a thousand of its head: stored, sent, fetched, served.
        memory_root = "/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir()
        run("cargo", "bench", "--bench", "sharing", env={**os.environ, "SHARING_DIR": memory_root, "SHARING_TUNES": os.environ.get("SHARING_TUNES", "1000")})
    if "pulls" in PARTS:
        at_once.main()


if __name__ == "__main__":
    main()
