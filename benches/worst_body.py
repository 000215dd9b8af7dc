#!/usr/bin/env python3
"""What the worst legal request to each heavy route costs everybody else: `make bench-work`.

Four clients of one account (or four strangers) send it again and again; meanwhile somebody else asks for something cheap, every few
milliseconds on one connection, and the 50th and 99th of a hundred of those answers are printed with the longest, beside those of an idle
hub. Each client is a process of its own, so that what is measured is the hub and not Python. BENCH_HUB names another build, BENCH_SECONDS
how long each case lasts, and words given as arguments choose cases. `ratio NAME VALUE` is 100 ms over the 99th: above 1 is well.
"""
import hashlib
import http.client
import json
import multiprocessing
import os
import struct
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent))
from kit import HUB, build_hub, hub_server, ratio  # noqa: E402

SECONDS = float(os.environ.get("BENCH_SECONDS", 6))
FILES = int(os.environ.get("BENCH_FILES", 40_000))
AT_ONCE = 4
ALLOWED_MS = 100
X = hashlib.sha256(b"x").hexdigest()
JSON = {"Content-Type": "application/json"}


def ask(line, method, path, token=None, body=None, headers=None):
    """(status, body) on a connection that stays open."""
    head = dict(headers or {})
    if token:
        head["Authorization"] = f"Bearer {token}"
    line.request(method, path, body, head)
    answer = line.getresponse()
    return answer.status, answer.read()


def open_line(authority):
    return http.client.HTTPConnection(authority, timeout=600)


class Hub:
    def __init__(self, address, admin):
        self.authority, self.admin = urlsplit(address).netloc, admin
        self.line = open_line(self.authority)

    def json(self, method, path, token, body=None):
        status, answer = ask(self.line, method, path, token, None if body is None else json.dumps(body), JSON)
        if status >= 300:
            sys.exit(f"{method} {path}: {status} {answer[:300]}")
        return json.loads(answer or b"null")

    def user(self, name):
        return self.json("POST", "/api/v1/users", self.admin, {"name": name})["token"]

    def repo(self, token, repo):
        self.json("POST", "/api/v1/repos", token, {"kind": "model", "id": repo})

    def blob(self, token, content):
        digest = hashlib.sha256(content).hexdigest()
        status, answer = ask(self.line, "PUT", f"/api/v1/blobs/{digest}", token, content)
        if status >= 300:
            sys.exit(f"a blob: {status} {answer[:300]}")
        return digest

    def commit(self, token, repo, files):
        self.json("POST", f"/api/v1/models/{repo}/commits", token, {"message": "m", "parent": None, "files": files})


def attack(authority, request, until, results):
    line, statuses, slowest = open_line(authority), {}, 0.0
    while time.time() < until or not statuses:
        begin = time.perf_counter()
        try:
            status = ask(line, *request)[0]
        except (OSError, http.client.HTTPException) as error:
            status, line = type(error).__name__, open_line(authority)
        slowest = max(slowest, time.perf_counter() - begin)
        statuses[status] = statuses.get(status, 0) + 1
    results.put((statuses, slowest))


def watch(authority, path, token, ended, results):
    line, took = open_line(authority), []
    while not ended.is_set() or len(took) < 100:
        begin = time.perf_counter()
        status = ask(line, "GET", path, token)[0]
        took.append((time.perf_counter() - begin) * 1e3)
        if status != 200:
            sys.exit(f"somebody else was answered {status}")
        time.sleep(0.004)
    took.sort()
    results.put((took[len(took) // 2], took[min(len(took) - 1, len(took) * 99 // 100)], took[-1], len(took)))


def resident(pid):
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024


def measure(hub, pid, bob, request):
    """What others and the askers themselves saw: ((p50, p99, max, count), {status: count}, slowest, MiB more)."""
    others, own, ended = multiprocessing.Queue(), multiprocessing.Queue(), multiprocessing.Event()
    watcher = multiprocessing.Process(target=watch, args=(hub.authority, "/api/v1/models/bob/m", bob, ended, others))
    watcher.start()
    until, before, most = time.time() + SECONDS, resident(pid), 0.0
    askers = [
        multiprocessing.Process(target=attack, args=(hub.authority, request, until, own)) for _ in range(AT_ONCE if request else 0)
    ]
    for asker in askers:
        asker.start()
    while any(asker.is_alive() for asker in askers) or (not askers and time.time() < until):
        most = max(most, resident(pid) - before)
        time.sleep(0.02)
    ended.set()
    seen, statuses, slowest = others.get(), {}, 0.0
    for _ in askers:
        found, longest = own.get()
        slowest = max(slowest, longest)
        for status, count in found.items():
            statuses[status] = statuses.get(status, 0) + count
    watcher.join()
    return seen, statuses, slowest, most


def preupload(rules, paths):
    files = [{"path": path, "sample": "", "size": 1} for path in paths]
    return json.dumps({"files": files, "gitIgnore": "\n".join(rules)})


def deep(count):
    return ["/".join("abcdefghijklmno") + f"/{n}.bin" for n in range(count)]


def shard(segments):
    """A file in so many pieces of a xorb nobody has."""
    def record(text, *numbers):
        return text.ljust(32, b"\1") + struct.pack("<4I", *numbers)
    pieces = record(b"x" * 32, 0, 1, 0, 1) * segments
    end = b"\xff" * 32 + bytes(16)
    return record(b"HFRepoMetaData", 2, 0, 0, 0) + record(b"f" * 32, 1 << 30, segments, 0, 0) + pieces + record(b"s" * 32, 0, 0, 0, 0) + end + end


def filled(schema, schemas, room):
    """A value of this schema, with as much in it as `room` bytes hold: text in texts, and most of the room in lists."""
    if "$ref" in schema:
        return filled(schemas[schema["$ref"].rsplit("/", 1)[1]], schemas, room)
    kinds = schema.get("type")
    kind = next((kind for kind in kinds if kind != "null"), None) if isinstance(kinds, list) else kinds
    if kind == "object":
        inner = schema.get("properties", {})
        return {name: filled(one, schemas, room // len(inner)) for name, one in inner.items()} or {f"k{n}": n for n in range(room // 12)}
    if kind == "array":
        one = filled(schema["items"], schemas, 40)
        return [one] * max(1, room // (len(json.dumps(one)) + 2))
    return {"string": "a" * room, "boolean": True}.get(kind, 1)


def described(hub, eve):
    """Every call of the API that takes JSON, with a body as large as any is read."""
    api = hub.json("GET", "/api/v1/openapi.json", None)
    at = {"kind": "models", "ns": "eve", "name": "m", "rev": "1", "ref": "t", "user": "bob", "sha256": X, "id": "0" * 26, "path": "README.md"}
    found = {}
    for path, methods in api["paths"].items():
        for method, call in methods.items():
            body = call.get("requestBody", {}).get("content", {}).get("application/json")
            if body:
                place = path.replace("/orgs/{name}", "/orgs/eve").replace("/users/{name}", "/users/eve").format(**at)
                large = json.dumps(filled(body["schema"], api["components"]["schemas"], 7 << 20))
                found[f"{method} {path.removeprefix('/api/v1')}"] = (method.upper(), place, eve, large, JSON)
    return found


def packets(lines):
    return b"".join(f"{len(line) + 4:04x}".encode() + line for line in lines)


def fetched(hub, eve):
    """What git asks with as many names as one question may have."""
    refs = ask(hub.line, "GET", "/eve/many.git/info/refs?service=git-upload-pack")[1]
    tip = refs.split(b" refs/heads/main", 1)[0][-40:]
    haves = packets([b"have " + hashlib.sha1(str(n).encode()).hexdigest().encode() + b"\n" for n in range(40_000)])
    return packets([b"want " + tip + b" no-progress\n"]) + b"0000" + haves + packets([b"done\n"])


def cases(hub, eve):
    """name -> (method, path, token, body, headers); no token: strangers."""
    told = hub.json("GET", "/api/models/eve/m/xet-write-token/main", eve)
    xet, cas = told["accessToken"], urlsplit(told["casUrl"]).path
    ask_about, form = "/api/models/eve/m/preupload/main", {"Content-Type": "application/x-www-form-urlencoded"}
    hashes = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(20_000)]
    stars = ["*a" * 60 + str(n) for n in range(500)]
    strange = [("paths", f"e\u0301{n}/\u00e9{n}.bin") for n in range(1_000)]
    gone = [json.dumps({"key": "header", "value": {"summary": "m"}})]
    gone += [json.dumps({"key": "deletedFolder", "value": {"path": f"caf\u00e9{n}"}}) for n in range(20_000)]
    many = [{"path": f"d{n % 100}/f{n:06}", "size_bytes": 1, "sha256": X} for n in range(FILES)]
    base = "/api/v1/models/eve/many/versions/main"
    tensors = [{"offset_bytes": n, "size_bytes": 1, "sha256": hashes[n]} for n in range(16_384)]
    discussion = hub.json("POST", "/api/models/eve/m/discussions", eve, {"title": "t", "description": "d", "pullRequest": False})["num"]
    noise = os.urandom(16 << 20)
    return {
        "preupload-plain": ("POST", ask_about, eve, preupload([f"x{n}" for n in range(1_000)], deep(10_000)), JSON),
        "preupload-stars": ("POST", ask_about, eve, preupload(stars, ["a" * 240 + str(n) for n in range(10_000)]), JSON),
        "preupload-levels": ("POST", ask_about, eve, preupload([f"**/x{n}/**" for n in range(400)], [f"{n}/" + "/".join("a" * 60) for n in range(10_000)]), JSON),
        "paths-info": ("POST", "/api/models/eve/many/paths-info/main", None, urlencode(strange), form),
        "tree": ("GET", "/api/models/eve/many/tree/main?recursive=true", None, None, None),
        "tree-expand": ("GET", "/api/models/eve/many/tree/main?recursive=true&expand=true", None, None, None),
        "siblings": ("GET", "/api/models/eve/many?blobs=true", None, None, None),
        "list-full": ("GET", "/api/models?full=true", None, None, None),
        "files": ("GET", f"{base}/files", None, None, None),
        "manifest": ("GET", f"{base}/manifest", None, None, None),
        "sums": ("GET", f"{base}/SHA256SUMS", None, None, None),
        "files-page": ("GET", "/eve/many/files", None, None, None),
        "card-page": ("GET", "/eve/card", None, None, None),
        "search": ("GET", "/api/v1/search?q=" + "+".join("abcdefghijklmnop"), None, None, None),
        "commit-same": ("POST", "/api/v1/models/eve/many/commits", eve, json.dumps({"message": "m", "parent": 1, "files": many}), JSON),
        "commit-json": ("POST", "/api/v1/models/eve/m/commits", eve, json.dumps({"message": "m", "tags": ["t"] * 900_000, "files": many[:1]}), JSON),
        "commit-folders": ("POST", "/api/models/eve/many/commit/main", eve, "\n".join(gone), {"Content-Type": "application/x-ndjson"}),
        "missing": ("POST", "/api/v1/blobs/missing", eve, json.dumps({"sha256": hashes[:10_000]}), JSON),
        "lfs-batch": (
            "POST",
            "/eve/m.git/info/lfs/objects/batch",
            eve,
            json.dumps({"operation": "upload", "transfers": ["basic"], "objects": [{"oid": oid, "size": 1} for oid in hashes[:1_000]]}),
            {"Content-Type": "application/vnd.git-lfs+json"},
        ),
        "validate-yaml": ("POST", "/api/validate-yaml", None, json.dumps({"content": "---\n" + "a: [" * 60 + "]" * 60 + "\n" + "k: v\n" * 90_000 + "---\n", "repoType": "model"}), JSON),
        "shard": ("POST", f"{cas}/v2/shards", xet, shard(1_000_000), None),
        "upload-tensors": ("POST", "/api/v1/uploads", eve, json.dumps({"sha256": hashes[1], "size_bytes": 1 << 30, "tensors": tensors}), JSON),
        "xorb": ("POST", f"{cas}/v1/xorbs/default/{hashes[2]}", xet, noise, None),
        "blob": ("PUT", f"/api/v1/blobs/{hashes[3]}", eve, noise, None),
        "predict": ("POST", "/api/v1/models/eve/m/predict", eve, noise, {"Content-Type": "application/octet-stream"}),
        "git-fetch": ("POST", "/eve/many.git/git-upload-pack", None, fetched(hub, eve), {"Content-Type": "application/x-git-upload-pack-request"}),
        "comment": ("POST", f"/api/models/eve/m/discussions/{discussion}/comment", eve, json.dumps({"comment": "[a](b) *c* > " * 5_000}), JSON),
        "tensors": ("GET", "/api/v1/models/eve/many/versions/main/tensors", None, None, None),
        "segments": ("GET", f"{base}/segments/d0/f000000", None, None, None),
        "log-in": ("POST", "/login", None, urlencode({"token": "t" * 60_000, "csrf": "c" * 4_000}), form),
        **described(hub, eve),
        "names": ("POST", "/api/v1/users", None, json.dumps({"name": "a" * (7 << 20)}), JSON),
    }


def prepare(hub):
    eve, bob = hub.user("eve"), hub.user("bob")
    for token, repo in ((eve, "eve/m"), (eve, "eve/many"), (eve, "eve/card"), (bob, "bob/m")):
        hub.repo(token, repo)
        hub.blob(token, b"x")
    for token, repo in ((eve, "eve/m"), (bob, "bob/m")):
        hub.commit(token, repo, [{"path": "README.md", "size_bytes": 1, "sha256": X}])
    many = [{"path": f"d{n % 100}/f{n:06}", "size_bytes": 1, "sha256": X} for n in range(FILES)]
    hub.commit(eve, "eve/many", many)
    card = ("# x\n\n" + "[a](b.md) `c` *d* " * 24_000)[: 500 << 10].encode()
    hub.commit(eve, "eve/card", [{"path": "README.md", "size_bytes": len(card), "sha256": hub.blob(eve, card)}])
    return eve, bob


def main():
    build_hub()
    worst = {}
    with tempfile.TemporaryDirectory() as work, hub_server(Path(work) / "data") as (address, admin, pid):
        os.environ["NO_PROXY"] = "*"
        hub = Hub(address, admin)
        eve, bob = prepare(hub)
        wanted = {name: request for name, request in cases(hub, eve).items() if not sys.argv[1:] or name in sys.argv[1:]}
        print(f"{HUB}; {AT_ONCE} at once for {SECONDS:.0f} s; a version of {FILES:,} files; {os.cpu_count()} cores\n")
        print("| case | body | answers | slowest | MiB more | others: median | 99th | longest |\n| --- | --- | --- | --- | --- | --- | --- | --- |")
        for name, request in {"idle": None, **wanted}.items():
            (middle, late, longest, _), statuses, slowest, more = measure(hub, pid, bob, request)
            body = len(request[3] or "") if request else 0
            answers = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items(), key=str))
            size = f"{body / 1e6:.1f} MB" if body else ""
            print(f"| {name} | {size} | {answers} | {slowest:.2f} s | {more:.0f} | {middle:.1f} ms | {late:.1f} ms | {longest:.0f} ms |", flush=True)
            worst[name] = late
    print()
    for name, late in worst.items():
        ratio(f"others-beside-{name}", ALLOWED_MS / late)


if __name__ == "__main__":
    main()
