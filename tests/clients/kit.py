"""What the tests with real clients share: a hub of its own, what is published in it, and Pythons with pinned packages."""
import contextlib
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from processes import CACHE, ROOT, hub_process, install, run

# One environment per set; a set is installed once, and again when a pin changes.
PINS = {
    "hf": ["huggingface_hub==2.4.0"],
    "hf0": ["huggingface_hub==0.36.2"],
    "torch": ["torch==2.15.0", "timm==1.0.31", "huggingface_hub==2.4.0", "transformers==5.23.0", "accelerate==1.15.0"],
    "text": ["transformers==5.23.0", "datasets==5.2.0", "pillow==13.0.0"],
    "embeddings": ["openai==3.57.0", "langchain-openai==1.7.4", "huggingface_hub==2.4.0", "numpy==2.4.6"],
    "openapi": ["schemathesis==4.32.5"],
    "web": ["playwright==1.65.2", "axe-playwright-python==0.1.8", "pillow==13.0.0", "numpy==2.4.6"],
    "tfhub": ["tensorflow_hub==0.16.1", "absl-py==2.5.1"],
    "tensorflow-js": ["pillow==13.0.0"],
    "tensorflow": ["tensorflow==2.21.0", "tensorflow_hub==0.16.1", "tf_keras==2.21.0", "setuptools==80.9.0"],
}
NODE_PINS = {
    "js": {"@huggingface/hub": "2.17.5"},
    "tensorflow-js": {f"@tensorflow/{part}": "4.22.0" for part in ("tfjs-core", "tfjs-converter", "tfjs-backend-wasm")},
}
# What these packages ask for beside would bring all of TensorFlow.
ALONE = {"tfhub"}


def has(python, pins):
    """Does this Python have exactly these versions?"""
    if not python.exists():
        return False
    code = "import sys, importlib.metadata as m\nfor p in sys.argv[1:]:\n n, v = p.split('==')\n assert m.version(n).split('+')[0] == v, n"
    return subprocess.run([python, "-c", code, *pins], capture_output=True).returncode == 0


def python_with(name):
    """A Python that has the set's packages. `CLIENTS_PYTHON_HF=/path/python` takes another one."""
    if given := os.environ.get(f"CLIENTS_PYTHON_{name.upper()}"):
        return Path(given)
    pins = PINS[name]
    # The benches may have installed the same already.
    for folder in (f"clients-{name}", f"bench-{name}"):
        if has(CACHE / folder / "bin" / "python", pins):
            return CACHE / folder / "bin" / "python"
    return install(f"clients-{name}", pins, *(["--no-deps"] if name in ALONE else []))


def node_modules(name):
    """A folder of node's packages that has the set's. `CLIENTS_NODE_MODULES=/path` takes another one."""
    if given := os.environ.get("CLIENTS_NODE_MODULES"):
        return Path(given).resolve()
    folder, pins = CACHE / f"clients-{name}", NODE_PINS[name]
    manifest = lambda package: folder / "node_modules" / package / "package.json"
    if not all(manifest(package).exists() and json.loads(manifest(package).read_text())["version"] == pin for package, pin in pins.items()):
        folder.mkdir(parents=True, exist_ok=True)
        wanted = [f"{package}@{pin}" for package, pin in pins.items()]
        run("npm", "install", "--prefix", folder, "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error", *wanted)
    return folder / "node_modules"


def unpacked(name, *command, archive):
    """The folder into which what a registry's client fetches once was unpacked."""
    folder = CACHE / name
    if not (folder / "whole").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        run(*command, cwd=folder)
        [packed] = folder.glob(archive)
        shutil.unpack_archive(packed, folder, "zip" if packed.suffix == ".whl" else None)
        packed.unlink()
        (folder / "whole").touch()
    return folder


def hub_program():
    """The program under test: `HUB`, else the newest build."""
    if given := os.environ.get("HUB"):
        return Path(given).resolve()
    builds = [path for path in (ROOT / "target" / kind / "hub" for kind in ("release", "debug")) if path.exists()]
    if not builds:
        sys.exit("there is no build of the hub; `make test-clients` makes one")
    return max(builds, key=lambda path: path.stat().st_mtime)


@contextlib.contextmanager
def server(work, **settings):
    """A hub on a folder of its own, with these settings (`HUB_...`): (address, administrator's token)."""
    data, log = work / "data", work / "server.log"
    try:
        with hub_process(hub_program(), data, log, "--allow-pickle", "--log", "warn", env=clean(work, **settings)) as (address, token, _):
            yield address, token
    except BaseException:
        print(f"--- the end of the server's log\n{log.read_text()[-4000:]}", file=sys.stderr)
        raise


def clean(home, **more):
    """An environment without this machine's settings and tokens."""
    home.mkdir(parents=True, exist_ok=True)
    kept = ("PATH", "LANG", "TMPDIR", "CARGO_HOME", "RUSTUP_HOME", "CARGO_TARGET_DIR")
    environment = {key: os.environ[key] for key in kept if key in os.environ}
    return {**environment, "HOME": str(home), "HF_HOME": str(home / "hf"), "NO_COLOR": "1", "HUB_LIBRARY": "off", **more}


class Hub:
    """Our own API and command line, for what a test needs to be there."""

    def __init__(self, address, token, home):
        self.address, self.token, self.home = address, token, home

    def api(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address}/api/v1{path}", data, method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request) as reply:
                return json.loads(reply.read() or b"null")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from error

    def run(self, *args):
        environment = clean(self.home, HUB_SERVER=self.address, HUB_TOKEN=self.token)
        return run(hub_program(), *args, env=environment, stdout=subprocess.PIPE).stdout.strip()

    def publish(self, folder, name, *args):
        return json.loads(self.run("publish", folder, name, "--json", *args))

    def user(self, name):
        """A new user's hub."""
        made = self.api("POST", "/users", {"name": name})
        return Hub(self.address, made["token"], self.home / name)


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def safetensors(tensors):
    """A file of float32 tensors: name -> (shape, numbers)."""
    header, data = {}, b""
    for name, (shape, numbers) in tensors.items():
        packed = struct.pack(f"<{len(numbers)}f", *numbers)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def write(folder, files):
    """Text or bytes by path."""
    for path, content in files.items():
        target = Path(folder) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
    return Path(folder)
