"""curl and wget: whole files, and going on where a download broke off."""
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import kit

KNOWN, ADDRESS = json.loads(os.environ["KNOWN"]), os.environ["HF_ENDPOINT"]
URL = f"{ADDRESS}/ada/net/resolve/main/large.bin2"
DIGEST = KNOWN["files"]["large.bin2"]


def version(program):
    return subprocess.run([program, "--version"], text=True, capture_output=True).stdout.split("\n")[0]


def goes_on(program, *command):
    """A quarter is there already; the program asks for the rest."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "large.bin2"
        kit.run(*command, cwd=folder)
        assert kit.sha256(target) == DIGEST
        whole = target.read_bytes()
        target.write_bytes(whole[: len(whole) // 4])
        kit.run(*command, cwd=folder)
        assert kit.sha256(target) == DIGEST
    print(f"  {version(program)}: whole and going on", flush=True)


goes_on("curl", "curl", "-fsS", "-O", "-C", "-", URL)
goes_on("wget", "wget", "-q", "-c", URL)
with tempfile.TemporaryDirectory() as folder:
    named = f"{ADDRESS}/files/ada/net/large-{DIGEST[:8]}.bin2"
    kit.run("curl", "-fsS", "-O", named, cwd=folder)
    assert kit.sha256(Path(folder) / f"large-{DIGEST[:8]}.bin2") == DIGEST
    refused = subprocess.run(["curl", "-fsS", f"{ADDRESS}/files/ada/net/large-00000000.bin2"], capture_output=True)
    assert refused.returncode == 22, refused
assert shutil.which("curl")
