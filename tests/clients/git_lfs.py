"""git-lfs sends objects to the hub and fetches them again, with `lfs.url` set; a commit in the hub's dialect names them
in between. The repo is private, so that the token counts."""
import hashlib
import json
import os
import subprocess
import tempfile
import urllib.request
from pathlib import Path

import kit

hub = kit.Hub(os.environ["HUB_SERVER"], os.environ["HUB_TOKEN"], Path.home() / "hub")
REPO = "ada/by-git-lfs"


def ask(method, path, body, kind="application/json"):
    headers = {"Authorization": f"Bearer {hub.token}", "Content-Type": kind}
    request = urllib.request.Request(hub.address + path, data=body.encode(), headers=headers, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


def git(folder, *arguments, **environment):
    return kit.run("git", "-C", folder, *arguments, stdout=subprocess.PIPE, env=os.environ | environment).stdout


def lay_out(folder):
    """A git repo whose large files go to the hub."""
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "config", "user.email", "ada@example.org")
    git(folder, "config", "user.name", "Ada")
    git(folder, "lfs", "install", "--local")
    scheme, host = hub.address.split("://")
    git(folder, "config", "lfs.url", f"{scheme}://ada:{hub.token}@{host}/{REPO}.git/info/lfs")
    git(folder, "config", "lfs.locksverify", "false")


def main():
    files = {"large.bin2": os.urandom(3_000_000), "other.bin2": os.urandom(70_000)}
    ask("POST", "/api/repos/create", json.dumps({"name": "by-git-lfs", "organization": "ada", "type": "model", "private": True}))
    with tempfile.TemporaryDirectory() as work:
        here, there = Path(work) / "here", Path(work) / "there"
        lay_out(here)
        git(here, "lfs", "track", "*.bin2")
        for name, content in files.items():
            (here / name).write_bytes(content)
        git(here, "add", ".")
        git(here, "commit", "--quiet", "-m", "Two large files")
        git(here, "remote", "add", "origin", here)
        git(here, "lfs", "push", "--all", "origin")
        lines = [{"key": "header", "value": {"summary": "Two large files"}}]
        for name, content in files.items():
            oid = hashlib.sha256(content).hexdigest()
            lines.append({"key": "lfsFile", "value": {"path": name, "algo": "sha256", "oid": oid, "size": len(content)}})
        ask("POST", f"/api/models/{REPO}/commit/main", "\n".join(map(json.dumps, lines)), "application/x-ndjson")
        # Another working copy that has the pointers only.
        lay_out(there)
        git(there, "pull", "--quiet", here, "main", GIT_LFS_SKIP_SMUDGE="1")
        assert (there / "large.bin2").stat().st_size < 1_000, "it has more than a pointer already"
        git(there, "lfs", "pull")
        for name, content in files.items():
            assert (there / name).read_bytes() == content, name
    print(f"  {git(Path.cwd(), 'lfs', 'version').split()[0]}: push and pull of a private repo's objects", flush=True)


main()
