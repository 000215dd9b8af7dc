"""huggingface_hub, its errors and its command line, reading; the same for 0.36 and 2.x."""
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import huggingface_hub
from huggingface_hub import HfApi, ModelCard, file_exists, get_hf_file_metadata, get_safetensors_metadata, hf_hub_download, hf_hub_url
from huggingface_hub import repo_exists, revision_exists, scan_cache_dir, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

KNOWN = json.loads(os.environ["KNOWN"])
COMMIT = KNOWN["commit"]
NEW = int(huggingface_hub.__version__.split(".")[0]) >= 1
api, stranger, anonymous = HfApi(), HfApi(token=KNOWN["stranger"]), HfApi(token=False)


def raises(kind, call, *args, **options):
    try:
        call(*args, **options)
    except kind as error:
        return error
    raise AssertionError(f"{call} raised no {kind.__name__}")


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def files():
    for path, digest in KNOWN["files"].items():
        assert sha256(hf_hub_download("ada/net", path)) == digest, path
        metadata = get_hf_file_metadata(hf_hub_url("ada/net", path))
        assert (metadata.etag, metadata.commit_hash) == (digest, COMMIT), metadata
    folder = Path(snapshot_download("ada/net"))
    assert folder.name == COMMIT
    assert {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} == set(KNOWN["files"])
    old = Path(snapshot_download("ada/net", revision="v1.0", allow_patterns=["*.md", "sub/*"]))
    assert "More." not in (old / "README.md").read_text() and (old / "sub/a+b c.txt").read_text() == "odd name"
    assert Path(snapshot_download("ada/net", local_files_only=True)) == folder
    with tempfile.TemporaryDirectory() as local:
        hf_hub_download("ada/net", "config.json", local_dir=local)
        assert json.loads((Path(local) / "config.json").read_text())["architecture"] == "resnet18"
    table = hf_hub_download("ada/table", "data/train.csv", repo_type="dataset")
    assert Path(table).read_text().startswith("text,label")
    assert Path(snapshot_download("bare")).name == api.model_info("library/bare").sha, "a bare name lives in the library"
    cached = {repo.repo_id: repo for repo in scan_cache_dir().repos}
    assert "ada/net" in cached and len(cached["ada/net"].revisions) == 2


def absences():
    assert isinstance(raises(EntryNotFoundError, hf_hub_download, "ada/net", "nothing.json"), EntryNotFoundError)
    assert type(try_to_load_from_cache("ada/net", "nothing.json")).__name__ == "object", "the absence is remembered"
    raises(RevisionNotFoundError, hf_hub_download, "ada/net", "config.json", revision="no-such-tag")
    raises(RevisionNotFoundError, api.model_info, "ada/net", revision="no-such-tag")
    raises(RepositoryNotFoundError, hf_hub_download, "ada/none", "config.json")
    raises(EntryNotFoundError, lambda: list(api.list_repo_tree("ada/net", "no/such/folder")))
    for other in (stranger, anonymous):
        raises(RepositoryNotFoundError, other.model_info, "ada/hidden")
        raises(RepositoryNotFoundError, other.hf_hub_download, "ada/hidden", "README.md")
        raises(RepositoryNotFoundError, other.auth_check, "ada/hidden")
        assert not other.repo_exists("ada/hidden")
    foreign = HfApi(token="hf_wrong")
    assert foreign.model_info("ada/net").id == "ada/net", "what is public is read with the token of another hub"
    wrong = raises(HfHubHTTPError, foreign.model_info, "ada/hidden")
    assert not isinstance(wrong, RepositoryNotFoundError) and "Invalid credentials" in str(wrong), wrong
    raises(LocalEntryNotFoundError, hf_hub_download, "ada/table", "README.md", repo_type="dataset", local_files_only=True)
    assert file_exists("ada/net", "config.json") and not file_exists("ada/net", "x")
    assert repo_exists("ada/net") and not repo_exists("ada/none")
    assert revision_exists("ada/net", "v1.0") and not revision_exists("ada/net", "v9")


def facts():
    info = api.model_info("ada/net", files_metadata=True, securityStatus=True)
    assert (info.id, info.sha, info.author, info.private, info.gated) == ("ada/net", COMMIT, "ada", False, False)
    assert (info.library_name, info.pipeline_tag) == ("timm", "image-classification"), info
    assert info.card_data.license == "apache-2.0" and info.card_data.datasets == ["imagenet-1k"]
    assert info.safetensors.parameters == {"F32": 10} and info.safetensors.total == 10
    assert {"license:apache-2.0", "dataset:imagenet-1k", "small", "timm"} <= set(info.tags), info.tags
    assert info.config["architecture"] == "resnet18"
    sizes = {sibling.rfilename: (sibling.size, sibling.lfs.sha256) for sibling in info.siblings}
    assert sizes["sub/empty"][0] == 0 and {path: lfs for path, (_, lfs) in sizes.items()} == KNOWN["files"]
    assert info.last_modified >= info.created_at
    assert api.model_info("ada/net", revision="v1.0").sha != COMMIT
    assert api.model_info("ada/net", expand=["downloads", "tags"]).siblings is None
    assert api.dataset_info("ada/table").id == "ada/table"
    assert api.repo_info("ada/table", repo_type="dataset").card_data.license == "mit"
    assert get_safetensors_metadata("ada/net").parameter_count == {"F32": 10}
    assert ModelCard.load("ada/net").data.license == "apache-2.0"

    listed = {entry.path: entry for entry in api.list_repo_tree("ada/net", recursive=True, expand=True)}
    assert type(listed["sub"]).__name__ == "RepoFolder" and listed["large.bin2"].last_commit.title == "Second"
    assert listed["config.json"].last_commit.title == "First" and listed["config.json"].security.status == "safe"
    assert set(api.list_repo_files("ada/net")) == set(KNOWN["files"])
    found = api.get_paths_info("ada/net", ["sub", "config.json", "none"], expand=True)
    assert [entry.path for entry in found] == ["sub", "config.json"]
    assert found[1].lfs.sha256 == KNOWN["files"]["config.json"]
    refs = api.list_repo_refs("ada/net", include_pull_requests=True)
    assert [(ref.name, ref.target_commit) for ref in refs.branches] == [("main", COMMIT)]
    assert [ref.ref for ref in refs.tags] == ["refs/tags/v1.0"]
    commits = api.list_repo_commits("ada/net")
    assert [commit.title for commit in commits] == ["Second", "First"] and commits[0].authors == ["ada"]


def lists():
    def ids(**query):
        return [repo.id for repo in api.list_models(**query)]

    assert ids(filter="timm", author="ada", sort="created_at" if NEW else "createdAt") == ["ada/hidden", "ada/net"]
    assert ids(search="net", limit=1) == ["ada/net"]
    assert [repo.id for repo in anonymous.list_models(filter=["license:apache-2.0", "dataset:imagenet-1k"], author="ada")] == ["ada/net"]
    assert ids(filter="no-such-tag") == [] and ids(pipeline_tag="image-classification", author="library") == ["library/bare"]
    full = next(found for found in anonymous.list_models(author="ada", full=True, cardData=True) if found.id == "ada/net")
    assert full.card_data.license == "apache-2.0" and len(full.siblings) == len(KNOWN["files"])
    # Sets that write may have run before this one.
    assert "ada/table" in [repo.id for repo in api.list_datasets(author="ada")]
    assert [repo.id for repo in api.list_datasets(author="ada", search="table")] == ["ada/table"]
    me = api.whoami()
    assert me["name"] == "ada" and me["auth"]["accessToken"]["role"] == "write" and me["orgs"] == []
    # 0.36 raises what `requests` raises.
    raises(Exception, HfApi(token="hf_wrong").whoami)
    api.auth_check("ada/hidden")


def command_line():
    def hf(*args):
        program = Path(sys.executable).parent / "hf"
        done = subprocess.run([program, *args], text=True, capture_output=True)
        assert done.returncode == 0, done.stderr + done.stdout
        if warned := [line for line in done.stderr.splitlines() if "warn" in line.lower()]:
            print("\n".join(warned), file=sys.stderr)
        return done.stdout

    with tempfile.TemporaryDirectory() as folder:
        hf("download", "ada/net", "--local-dir", folder)
        assert sha256(Path(folder) / "large.bin2") == KNOWN["files"]["large.bin2"]
    assert COMMIT in hf("download", "ada/net", "config.json", *(["--format", "quiet"] if NEW else ["--quiet"]))
    assert "ada" in hf("auth", "whoami")
    if NEW:
        assert "ada/net" in hf("models", "ls", "--author", "ada", "--format", "json")
        assert json.loads(hf("models", "info", "ada/net", "--format", "json"))["sha"] == COMMIT
        assert "large.bin2" in hf("models", "ls", "ada/net", "-R", "--format", "json")


def jobs():
    """Jobs of this hub's own commands; one that runs is in tests/stories/hugging_face_browse.rs."""
    if not hasattr(api, "run_job"):
        return
    assert [job for job in api.list_jobs() if job.status.stage == "RUNNING"] == []
    if not NEW:
        # 0.36 submits to huggingface.co whatever endpoint it was given; it lists, inspects and cancels here.
        for asked in (api.inspect_job, api.cancel_job):
            assert raises(Exception, asked, job_id="0" * 26).response.status_code == 404
        return
    told = raises(HfHubHTTPError, api.run_job, image="python:3.12", command=["python", "-c", "print(1)"])
    assert "hub finetune" in str(told), told
    told = raises(HfHubHTTPError, api.run_job, image="x", command=["hub", "finetune", "--base", "ada/net", "--dataset", "ada/table", "--name", "ada/new"])
    assert told.response.status_code == 422, told
    raises(HfHubHTTPError, api.inspect_job, job_id="0" * 26)
    raises(HfHubHTTPError, api.cancel_job, job_id="0" * 26)


for story in (files, absences, facts, lists, jobs, command_line):
    story()
    print(f"  huggingface_hub {huggingface_hub.__version__}: {story.__name__}", flush=True)
