#!/usr/bin/env python3
"""The hub beside its peers, in one run on one machine: `make bench` prints `ratio NAME VALUE` lines.

Images per second of embedding and of training steps beside PyTorch + timm (2 threads), and downloads of one large
file beside nginx. Above 1 the hub is faster. Machines are noisy: each figure is a median, and ratios count.
"""
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "backbone-hub"
HUB = ROOT / "target" / "release" / "hub"
FILE_BYTES = 512 << 20
ROUNDS = 7


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, text=True, cwd=ROOT, **options)


def torch_python():
    """A Python with torch and timm, installed once."""
    if given := os.environ.get("BENCH_PYTHON"):
        return Path(given)
    python = CACHE / "bench-venv" / "bin" / "python"
    if not python.exists():
        print("installing torch and timm from PyPI (once)", flush=True)
        run(sys.executable, "-m", "venv", CACHE / "bench-venv")
        run(python, "-m", "pip", "install", "--quiet", "torch", "timm")
    return python


def seconds(text):
    number, unit = re.fullmatch(r"([\d.]+) (ns|µs|ms|s)", text.strip()).groups()
    return float(number) * {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0}[unit]


def hub_rates(batch=16):
    """{(model, work): images per second} from the medians of `cargo bench --bench nn`."""
    text = run("cargo", "bench", "--bench", "nn", stdout=subprocess.PIPE, env={**os.environ, "RAYON_NUM_THREADS": "2"}).stdout
    rates, work = {}, None
    for line in text.splitlines():
        if match := re.search(r"─ (forward|train_step)_(\d+)", line):
            work = f"{match[1].replace('train_', '')} {match[2]}"
        elif work and (match := re.search(r"─ (\w+)\s", line)):
            rates[match[1], work] = batch / seconds(line.split("│")[-4])
    return rates


def torch_rates():
    text = run(torch_python(), "benches/pytorch_step.py", stdout=subprocess.PIPE).stdout
    rates = {}
    for line in text.splitlines():
        model, rest = line.split(" ", 1)
        for work, rate in re.findall(r"(\w+ \d+): ([\d.]+)", rest):
            rates[model, work] = float(rate)
    return rates


def compare_networks():
    ours, theirs = hub_rates(), torch_rates()
    for (model, work), rate in theirs.items():
        mine = ours[model, work]
        print(f"{model:22} {work:12} hub {mine:8.1f}  PyTorch {rate:8.1f} images/s")
        print(f"ratio {model}/{work.replace(' ', '-')} {mine / rate:.2f}", flush=True)


def download_seconds(url):
    begin = time.perf_counter()
    run("curl", "-fsS", "-o", "/dev/null", url)
    return time.perf_counter() - begin


def compare_downloads():
    with tempfile.TemporaryDirectory(prefix="hub-bench.") as folder:
        work = Path(folder)
        model = work / "model"
        model.mkdir()
        with open(model / "weights.dat", "wb") as file:
            for _ in range(FILE_BYTES >> 20):
                file.write(os.urandom(1 << 20))
        log = open(work / "log", "w+")
        server = subprocess.Popen([HUB, "serve", "--data", work / "data", "--listen", "127.0.0.1:0"], stdout=log, stderr=log)
        nginx = None
        try:
            address = wait_for_address(work / "log")
            token = (work / "data" / "admin-token").read_text().strip()
            env = {**os.environ, "HUB_SERVER": address, "HUB_TOKEN": token}
            run(HUB, "publish", model, "library/bench", env=env, stdout=subprocess.DEVNULL)
            nginx, peer = start_nginx(work, model)
            urls = [f"{address}/api/v1/models/library/bench/versions/1/files/weights.dat", f"{peer}/weights.dat"]
            times = [[], []]
            for _ in range(ROUNDS):
                for url, list_ in zip(urls, times):
                    list_.append(download_seconds(url))
            ours, theirs = (FILE_BYTES / statistics.median(list_) / 1e9 for list_ in times)
            print(f"one client, {FILE_BYTES >> 20} MiB: hub {ours:.2f} GB/s, nginx {theirs:.2f} GB/s")
            print(f"ratio download/nginx {ours / theirs:.2f}", flush=True)
        finally:
            for process in filter(None, (server, nginx)):
                process.send_signal(signal.SIGTERM)
                process.wait()


def wait_for_address(log):
    for _ in range(300):
        if match := re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
            return match[0]
        time.sleep(0.1)
    sys.exit(f"the server gave no address:\n{log.read_text()}")


def start_nginx(work, folder):
    port = 18000 + os.getpid() % 2000
    config = work / "nginx.conf"
    config.write_text(
        f"daemon off; worker_processes 2; pid {work}/nginx.pid; error_log {work}/nginx.err;\n"
        "events { worker_connections 512; }\n"
        f"http {{ access_log off; sendfile on; client_body_temp_path {work}/b; proxy_temp_path {work}/p; fastcgi_temp_path {work}/f;\n"
        f"  uwsgi_temp_path {work}/u; scgi_temp_path {work}/s;\n"
        f"  server {{ listen 127.0.0.1:{port}; root {folder}; }} }}\n"
    )
    os.chmod(work, 0o755)
    process = subprocess.Popen([shutil.which("nginx") or "/usr/sbin/nginx", "-c", config])
    time.sleep(0.5)
    return process, f"http://127.0.0.1:{port}"


if __name__ == "__main__":
    run("cargo", "build", "--release", "--locked", "--bin", "hub")
    print(json.dumps({"cores": os.cpu_count(), "rounds": ROUNDS}))
    compare_downloads()
    compare_networks()
