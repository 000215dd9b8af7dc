"""Branches and pull requests with the real `huggingface_hub`, and git clone of the same repo.

Usage: as hugging_face_write.py; KNOWN["stranger"] is the token of somebody without a right in NAMESPACE.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("HF_HOME", tempfile.mkdtemp())
os.environ.setdefault("HF_XET_CACHE", os.path.join(os.environ["HF_HOME"], "xet"))

import huggingface_hub
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.utils import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from hugging_face_write import expect, noise

api = HfApi()
NAMESPACE = sys.argv[1] if len(sys.argv) > 1 else api.whoami()["name"]
SUFFIX = sys.argv[2] if len(sys.argv) > 2 else str(time.time_ns())
REPO = f"{NAMESPACE}/lines-{SUFFIX}"
STRANGER = HfApi(token=json.loads(os.environ.get("KNOWN", "{}")).get("stranger"))


def files(revision=None, **more):
    return sorted(set(api.list_repo_files(REPO, revision=revision, **more)) - {".gitattributes"})


def snapshot(revision):
    with tempfile.TemporaryDirectory() as folder:
        place = Path(api.snapshot_download(REPO, revision=revision, cache_dir=folder))
        return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def titles(revision=None):
    return [commit.title for commit in api.list_repo_commits(REPO, revision=revision)]


def branches():
    api.create_repo(REPO)
    main = api.upload_file(path_or_fileobj=b"# Net\n", path_in_repo="README.md", repo_id=REPO, commit_message="a card").oid
    api.create_branch(REPO, branch="dev")
    expect(HfHubHTTPError, lambda: api.create_branch(REPO, branch="dev"), 409)
    api.create_branch(REPO, branch="dev", exist_ok=True)
    api.create_branch(REPO, branch="main", exist_ok=True)
    api.create_branch(REPO, branch="feature/x", revision=main)
    for wrong in ("refs/pr/5", "refs/foo/bar", "12"):
        expect(HfHubHTTPError, lambda: api.create_branch(REPO, branch=wrong), 400)
    expect(RevisionNotFoundError, lambda: api.create_branch(REPO, branch="y", revision="nowhere"))
    expect(RevisionNotFoundError, lambda: api.create_commit(REPO, [CommitOperationAdd("x", b"x")], commit_message="m", revision="nowhere"))

    first = api.create_commit(REPO, [CommitOperationAdd("dev.txt", b"dev")], commit_message="on dev", revision="dev").oid
    stale = [CommitOperationAdd("x.txt", b"x")]
    expect(HfHubHTTPError, lambda: api.create_commit(REPO, stale, commit_message="m", revision="dev", parent_commit=main), 412)
    operations = [CommitOperationAdd("large.raw", noise(11 << 20, 11)), CommitOperationAdd("small.raw", noise(70_000, 12))]
    api.create_commit(REPO, operations, commit_message="large", revision="dev", parent_commit=first)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.txt").write_text("a")
        (Path(folder) / "b.raw").write_bytes(noise(2 << 20, 13))
        api.upload_folder(repo_id=REPO, folder_path=folder, path_in_repo="folder", revision="feature/x", commit_message="a folder")
        again = api.upload_folder(repo_id=REPO, folder_path=folder, path_in_repo="folder", revision="feature/x", commit_message="again")
        assert again.oid == api.repo_info(REPO, revision="feature/x").sha, "nothing had changed"
    assert files() == ["README.md"] and api.repo_info(REPO).sha == main, "main stands where it stood"
    assert files("dev") == ["README.md", "dev.txt", "large.raw", "small.raw"]
    assert titles("dev")[:3] == ["large", "on dev", "a card"] and titles()[0] == "a card", titles("dev")
    assert snapshot("dev")["large.raw"] == noise(11 << 20, 11)
    assert snapshot("feature/x")["folder/b.raw"] == noise(2 << 20, 13)
    refs = api.list_repo_refs(REPO)
    assert [branch.name for branch in refs.branches] == ["main", "dev", "feature/x"], refs
    assert refs.branches[1].ref == "refs/heads/dev" and refs.branches[1].target_commit == api.repo_info(REPO, revision="dev").sha
    api.create_tag(REPO, tag="v0", revision="dev")
    assert files("v0") == files("dev")
    expect(HfHubHTTPError, lambda: api.delete_branch(REPO, branch="main"), 400)
    expect(RevisionNotFoundError, lambda: api.delete_branch(REPO, branch="v0"))
    api.delete_branch(REPO, branch="feature/x")
    expect(RevisionNotFoundError, lambda: api.list_repo_files(REPO, revision="feature/x"))
    error = expect(HfHubHTTPError, lambda: api.super_squash_history(REPO, branch="dev"), 501)
    print("  501 says:", str(error).splitlines()[-1][:150])
    expect(HfHubHTTPError, lambda: STRANGER.create_branch(REPO, branch="theirs"), 403)
    STRANGER.create_branch(REPO, branch="dev", exist_ok=True)


def command_line():
    hf = Path(sys.executable).parent / "hf"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "cli.txt").write_text("cli")
        run = lambda *more: subprocess.run([hf, "upload", REPO, folder, ".", *more], capture_output=True, text=True)
        done = run("--revision", "cli-branch")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "cli.txt" in files("cli-branch") and "cli.txt" not in files()
        done = run("--create-pr", "--commit-message", "by hand")
        assert done.returncode == 0, done.stdout + done.stderr
        print("  hf upload --create-pr says:", done.stdout.strip().splitlines()[-1])
        opened = next(api.get_repo_discussions(REPO, discussion_type="pull_request"))
        assert opened.title == "by hand" and opened.status in ("draft", "open") and opened.is_pull_request, opened
        api.change_discussion_status(REPO, opened.num, "closed", comment="only a try")


def pull_requests():
    info = STRANGER.create_commit(REPO, [CommitOperationAdd("pr.txt", b"pr"), CommitOperationAdd("pr.raw", noise(3 << 20, 14))], commit_message="Better", commit_description="Because.", create_pr=True)
    number, revision = info.pr_num, info.pr_revision
    assert revision == f"refs/pr/{number}" and info.pr_url.endswith(f"/{REPO}/discussions/{number}"), info
    STRANGER.create_commit(REPO, [CommitOperationAdd("more.txt", b"more")], commit_message="More", revision=revision)
    assert "pr.txt" not in files() and {"pr.txt", "pr.raw", "more.txt"} <= set(files(revision))
    assert snapshot(revision)["pr.raw"] == noise(3 << 20, 14)
    assert revision in [ref.ref for ref in api.list_repo_refs(REPO, include_pull_requests=True).pull_requests]
    assert api.list_repo_refs(REPO).pull_requests is None
    mine = list(api.get_repo_discussions(REPO, author="eve", discussion_status="open"))
    assert [(found.num, found.title) for found in mine] == [(number, "Better")], mine
    details = api.get_discussion_details(REPO, number)
    assert (details.target_branch, details.conflicting_files, details.git_reference) == ("refs/heads/main", False, revision)
    assert [event.type for event in details.events] == ["comment", "commit", "commit"] and "pr.txt" in details.diff
    comment = api.comment_discussion(REPO, number, "Looks good")
    assert comment.content == "Looks good" and not comment.edited
    edited = api.edit_discussion_comment(REPO, number, comment.id, "Looks **good**")
    assert edited.edited and edited.content == "Looks **good**" and edited.last_edited_by == NAMESPACE
    renamed = STRANGER.rename_discussion(REPO, number, "Much better")
    assert (renamed.old_title, renamed.new_title) == ("Better", "Much better")
    expect(HfHubHTTPError, lambda: STRANGER.merge_pull_request(REPO, number), 403)
    assert STRANGER.change_discussion_status(REPO, number, "closed").new_status == "closed"
    expect(HfHubHTTPError, lambda: api.merge_pull_request(REPO, number), 409)
    api.change_discussion_status(REPO, number, "open")
    api.merge_pull_request(REPO, number, comment="thanks")
    details = api.get_discussion_details(REPO, number)
    assert details.status == "merged" and details.merge_commit_oid == api.repo_info(REPO).sha
    assert {"pr.txt", "pr.raw", "more.txt"} <= set(files()) and titles()[0] == f"Much better (#{number})"

    # A draft is filled by its author; what meets is named.
    draft = STRANGER.create_pull_request(REPO, title="A draft", description="to come")
    assert (draft.status, draft.is_pull_request) == ("draft", True)
    STRANGER.create_commit(REPO, [CommitOperationAdd("pr.txt", b"theirs"), CommitOperationDelete("more.txt")], commit_message="fill", revision=draft.git_reference)
    STRANGER.change_discussion_status(REPO, draft.num, "open")
    api.create_commit(REPO, [CommitOperationAdd("pr.txt", b"hers")], commit_message="meanwhile")
    assert api.get_discussion_details(REPO, draft.num).conflicting_files == ["pr.txt"]
    error = expect(HfHubHTTPError, lambda: api.merge_pull_request(REPO, draft.num), 409)
    print("  409 says:", str(error).splitlines()[-1][:150])
    talk = api.create_discussion(REPO, title="What about this?", description="Hm.")
    assert not talk.is_pull_request and talk.git_reference is None and talk.events[0].content == "Hm."
    api.update_repo_settings(REPO, private=True)
    expect(RepositoryNotFoundError, lambda: STRANGER.get_discussion_details(REPO, number))
    expect(RepositoryNotFoundError, lambda: list(STRANGER.get_repo_discussions(REPO)))
    expect(RepositoryNotFoundError, lambda: STRANGER.list_repo_files(REPO, revision=revision))


def main():
    print(f"huggingface_hub {huggingface_hub.__version__}, python {sys.version.split()[0]}")
    for story in [branches, command_line, pull_requests]:
        print(story.__name__, flush=True)
        story()
    api.delete_repo(REPO)
    print("all of it held")


if __name__ == "__main__":
    main()
