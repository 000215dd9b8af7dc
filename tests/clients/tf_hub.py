"""tensorflow_hub's resolver without TensorFlow: what it downloads, unpacks and refuses. The few file operations it takes
from TensorFlow are stood in for; `make test-clients-full` runs all of it."""
import importlib.metadata
import json
import os
import shutil
import sys
import tempfile
import types
import urllib.error
from pathlib import Path

import kit


def type_of_no_use(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {})


def stand_in():
    """The part of `tensorflow` that the resolver uses, and the package without its own import of all of it."""
    errors = {name: type(name, (OSError,), {}) for name in ("OpError",)}
    kinds = "NotFoundError PermissionDeniedError UnauthenticatedError ResourceExhaustedError InternalError InvalidArgumentError"
    errors |= {name: type(name, (errors["OpError"],), {}) for name in f"{kinds} UnimplementedError AlreadyExistsError".split()}

    def rename(old, new, overwrite=False):
        if os.path.exists(new) and not overwrite:
            raise errors["AlreadyExistsError"](new)
        os.rename(old, new)

    def opened(path, mode="r"):
        try:
            return open(path, mode)
        except FileNotFoundError as error:
            raise errors["NotFoundError"](path) from error

    def remove_all(path):
        if not os.path.exists(path):
            raise errors["NotFoundError"](path)
        shutil.rmtree(path)

    gfile = types.SimpleNamespace(
        Exists=os.path.exists, ListDirectory=os.listdir, Remove=os.remove, Rename=rename, GFile=opened,
        MakeDirs=lambda path: os.makedirs(path, exist_ok=True), DeleteRecursively=remove_all,
    )
    tensorflow = types.ModuleType("tensorflow")
    tensorflow.errors = types.SimpleNamespace(**errors)
    tensorflow.compat = types.SimpleNamespace(v1=types.SimpleNamespace(gfile=gfile), as_bytes=lambda x: x if isinstance(x, bytes) else x.encode())
    # Types it names and does not use here.
    tensorflow.__getattr__ = type_of_no_use
    sys.modules["tensorflow"] = tensorflow
    package = types.ModuleType("tensorflow_hub")
    package.__path__ = [str(Path(importlib.metadata.distribution("tensorflow_hub").locate_file("tensorflow_hub")))]
    sys.modules["tensorflow_hub"] = package


stand_in()
from absl import flags  # noqa: E402
from tensorflow_hub import config, registry  # noqa: E402

flags.FLAGS(["tf_hub"])
config._run()
hub = kit.Hub(os.environ["HUB_SERVER"], os.environ["HUB_TOKEN"], Path.home() / "hub")
# tag `serve`, one signature, in the wire's own bytes
META = b"\x0a\x07\x22\x05serve" + b"\x2a\x15\x0a\x0fserving_default\x12\x02\x0a\x00"
GRAPH = b"\x08\x01\x12" + bytes([len(META)]) + META
with tempfile.TemporaryDirectory() as work:
    os.environ["TFHUB_CACHE_DIR"] = f"{work}/cache"
    files = {"saved_model.pb": GRAPH, "variables/variables.index": "index", "variables/variables.data-00000-of-00001": os.urandom(2_000_000)}
    files |= {"assets/deep/vocab.txt": "a\n", "README.md": "---\nlicense: mit\n---\n# TF\n", "fingerprint.pb": b"f"}
    folder = kit.write(Path(work) / "tf", files)
    hub.publish(folder, "ada/tf", "--tag", "v1")
    facts = hub.api("GET", "/models/ada/tf")["facts"]
    assert facts["saved_model"]["graphs"][0]["tags"] == ["serve"], json.dumps(facts)
    for handle in (f"{hub.address}/ada/tf/1", f"{hub.address}/ada/tf/v1"):
        found = Path(registry.resolver(handle))
        there = {str(path.relative_to(found)): path.read_bytes() for path in found.rglob("*") if path.is_file()}
        assert there == {name: (folder / name).read_bytes() for name in files if name != "README.md"}, sorted(there)
        assert registry.resolver(handle) == str(found), "it is there already"
    for absent in ("ada/tf/9", "ada/tf/main", "ada/net/1", "ada/none/1"):
        try:
            registry.resolver(f"{hub.address}/{absent}")
            raise AssertionError(f"{absent} was found")
        except urllib.error.HTTPError as error:
            assert error.code == 404 and b"; " in error.read(), absent
    os.environ["TFHUB_MODEL_LOAD_FORMAT"] = "UNCOMPRESSED"
    try:
        registry.resolver(f"{hub.address}/ada/tf/1")
        raise AssertionError("there is no bucket to read from")
    except (ValueError, urllib.error.HTTPError) as error:
        assert "406" in str(error), error
print(f"  tensorflow_hub {importlib.metadata.version('tensorflow_hub')}: the resolver (without TensorFlow)", flush=True)
