"""Publishes with the real `huggingface_hub` to a hub and asserts what comes of it.

Usage: HF_ENDPOINT=http://127.0.0.1:8080 HF_TOKEN=hub_... python hugging_face_write.py [NAMESPACE [SUFFIX]]

The token needs the scope `admin` and its owner the admin role in NAMESPACE (repos are deleted); without one it is the
owner's own. SUFFIX makes the names of the repos this run makes, which are never given again: each run on the same hub
needs another one, and takes the time if none is given. Works with
huggingface_hub 0.36 to 2.x, with and without hf_xet. Prints the versions and every warning a client gave; the exit code
is 0 if all assertions held.
"""

import io
import logging
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("HF_HOME", tempfile.mkdtemp())
os.environ.setdefault("HF_XET_CACHE", os.path.join(os.environ["HF_HOME"], "xet"))

import huggingface_hub
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi
from huggingface_hub.utils import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

api = HfApi()
NAMESPACE = sys.argv[1] if len(sys.argv) > 1 else api.whoami()["name"]
SUFFIX = sys.argv[2] if len(sys.argv) > 2 else str(time.time_ns())
REPO = f"{NAMESPACE}/write-{SUFFIX}"


class Heard(logging.Handler):
    """Keeps what clients warn of."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.said = []

    def emit(self, record):
        self.said.append(f"{record.name}: {record.getMessage()}")


heard = Heard()
logging.getLogger("huggingface_hub").addHandler(heard)


def expect(kind, story, status=None):
    try:
        story()
    except kind as error:
        got = getattr(getattr(error, "response", None), "status_code", None)
        assert status is None or got == status, f"expected {status}, got {got}: {error}"
        return error
    raise AssertionError(f"expected {kind.__name__}")


def fetch(path, revision=None, repo=REPO, **more):
    with tempfile.TemporaryDirectory() as folder:
        return Path(api.hf_hub_download(repo, path, revision=revision, local_dir=folder, **more)).read_bytes()


def noise(length, seed):
    import random

    return random.Random(seed).randbytes(length)


def repos():
    url = api.create_repo(REPO, private=False)
    assert str(url).endswith(REPO) and url.repo_id == REPO, url
    assert api.create_repo(REPO, exist_ok=True).repo_id == REPO
    expect(HfHubHTTPError, lambda: api.create_repo(REPO), 409)
    assert ".gitattributes" in api.list_repo_files(REPO)
    assert not api.repo_info(REPO).private
    settings = getattr(api, "update_repo_settings")
    settings(REPO, private=True)
    assert api.repo_info(REPO).private
    settings(REPO, private=False)
    api.create_branch(REPO, branch="main", exist_ok=True)


def small_files():
    info = api.upload_file(path_or_fileobj=b"# Net\n", path_in_repo="README.md", repo_id=REPO, commit_message="a card")
    assert len(info.oid) == 40 and info.repo_url.repo_id == REPO, info
    assert fetch("README.md") == b"# Net\n"
    assert fetch("README.md", revision=info.oid) == b"# Net\n"
    again = api.upload_file(path_or_fileobj=b"# Net\n", path_in_repo="README.md", repo_id=REPO)
    assert again.oid == info.oid, "the same file makes no new version"
    api.upload_file(path_or_fileobj=b"\x00\x01" * 100, path_in_repo="sub/data.raw", repo_id=REPO)
    assert fetch("sub/data.raw") == b"\x00\x01" * 100
    stale = CommitOperationAdd("x.txt", b"x")
    error = expect(HfHubHTTPError, lambda: api.create_commit(REPO, [stale], commit_message="m", parent_commit="0" * 40), 412)
    print("  412 says:", str(error).splitlines()[-1][:120])
    expect(RevisionNotFoundError, lambda: api.create_commit(REPO, [stale], commit_message="m", revision="dev"))


def large_files():
    bytes_ = noise(11 << 20, 1) + b"0" * (3 << 20)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors.part")
        path.write_bytes(bytes_)
        api.upload_file(path_or_fileobj=str(path), path_in_repo="large.raw", repo_id=REPO)
        assert fetch("large.raw") == bytes_
        # Most of it is there already; newer clients send only the rest.
        changed = bytes_[: 4 << 20] + noise(100_000, 2) + bytes_[4 << 20 :]
        path.write_bytes(changed)
        api.upload_file(path_or_fileobj=str(path), path_in_repo="changed.raw", repo_id=REPO)
        assert fetch("changed.raw") == changed
    streamed = noise(2 << 20, 3)
    api.upload_file(path_or_fileobj=io.BytesIO(streamed), path_in_repo="streamed.raw", repo_id=REPO)
    assert fetch("streamed.raw") == streamed
    info = {sibling.rfilename: sibling for sibling in api.repo_info(REPO, files_metadata=True).siblings}
    assert info["large.raw"].size == len(bytes_)


def folders():
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "deep" / "er").mkdir(parents=True)
        for number in range(300):
            (root / "deep" / f"f{number}.txt").write_text(f"file {number}")
        (root / "deep" / "er" / "big.raw").write_bytes(noise(2 << 20, 4))
        (root / "deep" / "er" / "empty").write_bytes(b"")
        (root / ".gitignore").write_text("*.log\n")
        (root / "run.log").write_text("ignored")
        api.upload_folder(repo_id=REPO, folder_path=folder, path_in_repo="folder", commit_message="a folder")
        files = set(api.list_repo_files(REPO))
        assert {"folder/deep/f0.txt", "folder/deep/f299.txt", "folder/deep/er/big.raw", "folder/deep/er/empty"} <= files
        assert fetch("folder/deep/er/big.raw") == noise(2 << 20, 4) and fetch("folder/deep/er/empty") == b""
        (root / "deep" / "f0.txt").write_text("changed")
        api.upload_folder(repo_id=REPO, folder_path=folder, path_in_repo="folder", delete_patterns=["deep/f1*.txt"])
        files = set(api.list_repo_files(REPO))
        assert fetch("folder/deep/f0.txt") == b"changed" and "folder/deep/f299.txt" in files


def unchanged():
    """What has not changed is neither sent nor committed."""
    sent = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "a.txt").write_text("a")
        (root / "empty").write_bytes(b"")
        (root / "small.raw").write_bytes(noise(20_000, 7))
        (root / "big.raw").write_bytes(noise(2 << 20, 8))
        before = api.upload_folder(repo_id=REPO, folder_path=folder, path_in_repo="same", commit_message="once").oid
        again = api.upload_folder(repo_id=REPO, folder_path=folder, path_in_repo="same", commit_message="twice").oid
        assert again == before, (before, again)
        assert [commit.title for commit in api.list_repo_commits(REPO)][0] == "once"
        additions = [CommitOperationAdd(f"same/{path.name}", str(path)) for path in sorted(root.iterdir())]
        api.preupload_lfs_files(REPO, additions, free_memory=False)
        sent = [addition.path_in_repo for addition in additions if addition._remote_oid != addition._local_oid]
        assert not sent, f"these would be sent again: {sent}"
        (root / "a.txt").write_text("b")
        assert api.upload_folder(repo_id=REPO, folder_path=folder, path_in_repo="same", commit_message="changed").oid != before
        assert fetch("same/a.txt") == b"b" and fetch("same/big.raw") == noise(2 << 20, 8)


def deletes_copies_tags():
    api.create_tag(REPO, tag="v1.0", tag_message="first")
    expect(HfHubHTTPError, lambda: api.create_tag(REPO, tag="v1.0"), 409)
    api.create_tag(REPO, tag="v1.0", exist_ok=True)
    assert "v1.0" in [tag.name for tag in api.list_repo_refs(REPO).tags]
    api.create_commit(REPO, [CommitOperationCopy("large.raw", "copied.raw")], commit_message="a copy")
    assert fetch("copied.raw") == fetch("large.raw")
    api.delete_file("copied.raw", REPO)
    assert not api.file_exists(REPO, "copied.raw")
    expect(EntryNotFoundError, lambda: api.delete_file("copied.raw", REPO))
    api.delete_folder("folder", REPO)
    assert not any(path.startswith("folder/") for path in api.list_repo_files(REPO))
    assert any(path.startswith("folder/") for path in api.list_repo_files(REPO, revision="v1.0"))
    operations = [CommitOperationDelete("changed.raw"), CommitOperationAdd("new.txt", b"new")]
    api.create_commit(REPO, operations, commit_message="two at once", commit_description="and why\nso")
    files = api.list_repo_files(REPO)
    assert "new.txt" in files and "changed.raw" not in files
    api.delete_tag(REPO, tag="v1.0")
    expect(RevisionNotFoundError, lambda: api.delete_tag(REPO, tag="v1.0"))


def command_line():
    hf = Path(sys.executable).parent / "hf"
    if not hf.exists():
        print("  there is no `hf` beside this Python")
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "a.txt").write_text("a")
        (root / "big.raw").write_bytes(noise(11 << 20, 5))
        repo = f"{NAMESPACE}/cli-{SUFFIX}"
        done = subprocess.run([hf, "upload", repo, folder, "."], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        print("  hf upload says:", " | ".join((done.stdout + done.stderr).split("\n"))[-300:])
        assert fetch("big.raw", repo=repo) == (root / "big.raw").read_bytes()
        one = subprocess.run([hf, "upload", repo, str(root / "a.txt"), "b.txt"], capture_output=True, text=True)
        assert one.returncode == 0, one.stdout + one.stderr
        assert fetch("b.txt", repo=repo) == b"a"
        api.delete_repo(repo)


def datasets():
    repo = f"{NAMESPACE}/data-{SUFFIX}"
    api.create_repo(repo, repo_type="dataset", private=True)
    api.upload_file(path_or_fileobj=b"a,b\n1,2\n", path_in_repo="data.csv", repo_id=repo, repo_type="dataset")
    api.upload_file(path_or_fileobj=noise(2 << 20, 6), path_in_repo="d.raw", repo_id=repo, repo_type="dataset")
    assert fetch("d.raw", repo=repo, repo_type="dataset") == noise(2 << 20, 6)
    old = api.repo_info(repo, repo_type="dataset").sha
    moved = f"{NAMESPACE}/moved-{SUFFIX}"
    api.move_repo(repo, moved, repo_type="dataset")
    assert fetch("data.csv", repo=moved, repo_type="dataset") == b"a,b\n1,2\n"
    # The old name leads there: metadata, files, snapshots, questions that are POSTs.
    assert api.repo_info(repo, repo_type="dataset").id == moved
    assert fetch("data.csv", repo=repo, repo_type="dataset", force_download=True) == b"a,b\n1,2\n"
    assert fetch("d.raw", repo=repo, repo_type="dataset", revision=old) == noise(2 << 20, 6)
    assert "data.csv" in api.list_repo_files(repo, repo_type="dataset")
    assert [found.path for found in api.get_paths_info(repo, ["d.raw"], repo_type="dataset")] == ["d.raw"]
    with tempfile.TemporaryDirectory() as folder:
        api.snapshot_download(repo, repo_type="dataset", cache_dir=folder)
    expect(RepositoryNotFoundError, lambda: HfApi(token=False).repo_info(repo, repo_type="dataset"))
    api.delete_repo(moved, repo_type="dataset")
    api.delete_repo(moved, repo_type="dataset", missing_ok=True)
    expect(RepositoryNotFoundError, lambda: api.delete_repo(moved, repo_type="dataset"))


def main():
    xet = "no"
    try:
        import hf_xet

        xet = getattr(hf_xet, "__version__", None) or __import__("importlib.metadata").metadata.version("hf_xet")
    except ImportError:
        pass
    print(f"huggingface_hub {huggingface_hub.__version__}, hf_xet {xet}, python {sys.version.split()[0]}")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for story in [repos, small_files, large_files, folders, unchanged, deletes_copies_tags, command_line, datasets]:
            print(story.__name__, flush=True)
            story()
        api.delete_repo(REPO)
    for text in heard.said + [f"{w.category.__name__}: {w.message}" for w in warned]:
        print("warning:", text)
    print("all of it held")


if __name__ == "__main__":
    main()
