"""What the tests with real clients and the benches share: a hub as a process of its own, and Pythons with packages from PyPI."""
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "backbone-hub"


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, text=True, **options)


def install(folder, packages, *options):
    """A Python of the cache's `folder`, made where it is not there, that gets these packages now."""
    python = CACHE / folder / "bin" / "python"
    print(f"installing {' '.join(packages)} from PyPI (once)", flush=True)
    begun = time.time()
    if not python.exists():
        run(sys.executable, "-m", "venv", CACHE / folder)
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *options, *packages)
    print(f"  took {time.time() - begun:.0f} s", flush=True)
    return python


@contextlib.contextmanager
def hub_process(program, data, log, *args, env=None):
    """A hub on `data`, on a free port and without workers, until the block ends: (address, administrator's token, pid). A further node of a
    hub has no such token."""
    command = [program, "serve", "--data", data, "--listen", "127.0.0.1:0", "--workers", "0", *args]
    with open(log, "w") as out:
        process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=out, env=env)
    try:
        for _ in range(600):
            if match := re.search(r"listening on (http://\S+)", log.read_text()):
                break
            time.sleep(0.05)
        else:
            sys.exit(f"the hub gave no address:\n{log.read_text()}")
        token = Path(data) / "admin-token"
        yield match[1], token.read_text().strip() if token.exists() else "", process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
