"""huggingface_hub at a hub without Xet that lets a caller ask 40 times a minute: what it is told, and that it waits."""
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import huggingface_hub
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

api = HfApi()
REPO = "ada/limits"


def upload(path, **environment):
    """In a process of its own: the client reads its switches once. No progress bars."""
    code = f"from huggingface_hub import HfApi; HfApi().upload_file(path_or_fileobj={str(path)!r}, path_in_repo={path.name!r}, repo_id={REPO!r})"
    return subprocess.run([sys.executable, "-c", code], env=os.environ | environment, text=True, capture_output=True)


def without_xet():
    api.create_repo(REPO)
    with tempfile.TemporaryDirectory() as folder:
        inline, large = Path(folder) / "inline.raw", Path(folder) / "large.raw"
        inline.write_bytes(random.Random(1).randbytes(11 << 20))
        large.write_bytes(random.Random(2).randbytes(65 << 20))
        done = upload(inline)
        assert done.returncode == 0 and not done.stderr.strip(), done.stderr
        done = upload(large)
        if done.returncode != 0:
            assert "HF_HUB_DISABLE_XET=1" in done.stderr, done.stderr
            print("  with Xet in the client:", done.stderr.strip().splitlines()[-1][:160])
            done = upload(large, HF_HUB_DISABLE_XET="1")
        assert done.returncode == 0, done.stderr
        for path in (inline, large):
            got = api.hf_hub_download(REPO, path.name, local_dir=Path(folder) / "back")
            assert Path(got).read_bytes() == path.read_bytes(), path


def waits():
    """The bucket holds 40, and one more comes every second and a half. Newer clients wait and ask again; 0.x tells its caller."""
    begun, refused = time.time(), 0
    for _ in range(45):
        try:
            assert api.list_repo_files(REPO)
        except HfHubHTTPError as error:
            assert error.response.status_code == 429 and int(error.response.headers["retry-after"]) >= 1, error
            assert not isinstance(error, RepositoryNotFoundError), error
            refused += 1
            time.sleep(2)
    assert time.time() - begun > 2, "it was never asked to wait"
    assert refused == 0 or huggingface_hub.__version__.startswith("0."), f"refused {refused} times"


for story in (without_xet, waits):
    begun = time.time()
    story()
    print(f"  huggingface_hub {huggingface_hub.__version__}: {story.__name__} ({time.time() - begun:.0f} s)", flush=True)
