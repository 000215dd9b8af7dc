"""Fetches every acknowledged version from a hub and proves it: its commit, and the sha256 of each file.

usage: verify.py URL ACKED, where a line of ACKED is "repo number commit". Prints "lost N of M"; 1 if N > 0.
"""

import hashlib
import json
import sys
import urllib.request

url, acked = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(path):
    with opener.open(f"{url}/api/v1/models/{path}") as answer:
        return answer.read()


def wrong(repo, number, commit):
    """What is wrong with a version; None if it is whole."""
    try:
        manifest = json.loads(get(f"{repo}/versions/{number}/manifest"))
        if manifest["version"]["commit"] != commit:
            return f"is commit {manifest['version']['commit']}, not {commit}"
        for file in manifest["files"]:
            digest = hashlib.sha256(get(f"{repo}/versions/{number}/files/{file['path']}")).hexdigest()
            if digest != file["sha256"]:
                return f"{file['path']} has sha256 {digest}, not {file['sha256']}"
    except Exception as error:
        return str(error)
    return None


lines = [line.split() for line in open(acked) if len(line.split()) == 3]
lost = 0
for repo, number, commit in lines:
    problem = wrong(repo, number, commit)
    if problem:
        lost += 1
        print(f"{repo}@{number}: {problem}", file=sys.stderr)
print(f"lost {lost} of {len(lines)}")
sys.exit(1 if lost else 0)
