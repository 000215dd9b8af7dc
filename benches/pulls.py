"""500 pulls at once of one model through two nodes, beside one nginx on the same files: `BENCH_PARTS=pulls make bench-transfer`.

The nodes are what docs/OPERATIONS.md calls several machines: two `hub serve` with data directories of their own on one PostgreSQL and one bucket
(s3s-fs). A pull asks for the list of files and for each of them over one connection (pull_load.py makes all pulls, the same for each server, on
the same cores); nginx has the list as a file. Above 1 the nodes are faster. nginx's files lie in the kernel's memory and are sent by sendfile, the
nodes' bytes come from the bucket and are compared with what was stored. Beside it, once: nginx in front of the same bucket.

BENCH_PULLS=500  BENCH_PULL_MIB=32  BENCH_ROUNDS=3 (they alternate; each figure is a median)
"""
import contextlib
import glob
import hashlib
import json
import os
import pwd
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from kit import HUB, ROOT, build_hub, cpu_seconds, nginx_server, ratio
from processes import hub_process

PULLS = int(os.environ.get("BENCH_PULLS", 500))
MODEL_BYTES = int(os.environ.get("BENCH_PULL_MIB", 32)) << 20
ROUNDS = int(os.environ.get("BENCH_ROUNDS", 3))
NODES = 2
MODEL = "library/pulled"
VERSION = f"/api/v1/models/{MODEL}/versions/1"
KEYS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-bench", "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true"}


@contextlib.contextmanager
def child(command, **options):
    """A process until the block ends: its pid."""
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def wait_for(what, is_there):
    for _ in range(600):
        if is_there():
            return
        time.sleep(0.05)
    sys.exit(f"{what} does not answer")


@contextlib.contextmanager
def postgres_server(folder):
    """A cluster with one empty database: (its address, pid)."""
    found = shutil.which("initdb") or max(glob.glob("/usr/lib/postgresql/*/bin/initdb"), default=None)
    if found is None:
        sys.exit("PostgreSQL is missing; `bash .ci/packages bench` installs it")
    programs = Path(os.path.realpath(found)).parent
    folder.mkdir()
    # Its server refuses to run as root.
    who = {}
    if os.geteuid() == 0:
        user = pwd.getpwnam("nobody")
        os.chown(folder, user.pw_uid, user.pw_gid)
        who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    environment = {**os.environ, "HOME": str(folder), "LC_ALL": "C"}
    made = [programs / "initdb", "-D", folder / "data", "-A", "trust", "-U", "hub", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
    subprocess.run([str(part) for part in made], check=True, stdout=subprocess.DEVNULL, cwd=folder, env=environment, **who)
    psql = [str(programs / "psql"), "-h", str(folder), "-U", "hub", "-X", "-q", "-c"]
    answers = lambda sql: subprocess.run([*psql, sql, "postgres"], capture_output=True).returncode == 0  # noqa: E731
    server = [programs / "postgres", "-D", folder / "data", "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200"]
    with child(server, cwd=folder, env=environment, **who) as pid:
        wait_for("PostgreSQL", lambda: answers("create database hub"))
        yield f"postgres:///hub?host={folder}&port=5432&user=hub", pid


@contextlib.contextmanager
def s3_server(folder):
    """An S3 server with the bucket `hub`: (what opens it, pid)."""
    installed = [Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo")) / "bin" / "s3s-fs", Path(shutil.which("s3s-fs") or "")]
    program = next((path for path in installed if path.is_file()), None)
    if program is None:
        sys.exit("s3s-fs is missing; `bash .ci/packages bench` installs it")
    (folder / "hub").mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    keys = ["--access-key", KEYS["AWS_ACCESS_KEY_ID"], "--secret-key", KEYS["AWS_SECRET_ACCESS_KEY"]]

    def answers():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    with child([program, "--host", "127.0.0.1", "--port", port, *keys, folder]) as pid:
        wait_for("s3s-fs", answers)
        yield {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}, pid


def get(url):
    with urllib.request.urlopen(url) as answer:
        return answer.read()


def signed_address(node):
    """The address in the bucket that a node with --redirect-downloads leads to."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    try:
        urllib.request.build_opener(Stay).open(f"{node}{VERSION}/files/weights.dat").close()
    except urllib.error.HTTPError as answer:
        return answer.headers["Location"] if answer.code == 307 else None
    return None


class Peer:
    """Servers with one model: where they are, what is asked of them, whose time counts."""

    def __init__(self, name, addresses, paths, pids):
        self.name, self.paths, self.pids = name, paths, pids
        self.addresses = [address.removeprefix("http://") for address in addresses]
        self.rates, self.cpu, self.told = [], [], None

    def check(self, sha256):
        """The bytes are those that were published, at each address."""
        for address in self.addresses:
            if hashlib.sha256(get(f"http://{address}{self.paths[-1]}")).hexdigest() != sha256:
                sys.exit(f"{self.name} at {address} sends other bytes")

    def pull(self, count):
        before = sum(cpu_seconds(pid) for pid in self.pids)
        command = [sys.executable, str(ROOT / "benches" / "pull_load.py"), str(count), ",".join(self.addresses), *self.paths]
        told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        if told["bytes"] < count * MODEL_BYTES:
            sys.exit(f"{self.name} sent {told['bytes']} bytes")
        return told, sum(cpu_seconds(pid) for pid in self.pids) - before

    def measure(self):
        self.told, took = self.pull(PULLS)
        self.rates.append(self.told["bytes"] / self.told["seconds"])
        self.cpu.append(took / (self.told["bytes"] / 1e9))

    def rate(self):
        return statistics.median(self.rates)

    def say(self):
        rate, cpu = self.rate() / 1e9, statistics.median(self.cpu)
        pulls = self.rate() / (self.told["bytes"] / PULLS)
        print(f"{PULLS} pulls at once: {self.name:16} {rate:5.2f} GB/s, {pulls:6.1f} pulls/s, one takes {self.told['p50']:.2f} s (p99 {self.told['p99']:.2f}), {cpu:.2f} cpu s/GB", flush=True)


def compare(work):
    folder = work / "model"
    folder.mkdir()
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Pulled by many\n")
    (folder / "config.json").write_text(json.dumps({"architecture": "resnet50", "num_classes": 1000}))
    weights = os.urandom(MODEL_BYTES)
    (folder / "weights.dat").write_bytes(weights)
    sha256 = hashlib.sha256(weights).hexdigest()
    del weights
    files = ["README.md", "config.json", "weights.dat"]
    with contextlib.ExitStack() as stack:
        database, database_pid = stack.enter_context(postgres_server(work / "pg"))
        variables, s3_pid = stack.enter_context(s3_server(work / "s3"))
        environment = {**os.environ, **variables, "HUB_DB": database, "HUB_LIBRARY": "off", "HUB_MAX_REQUESTS_PER_MINUTE": "100000000"}

        def node(name, *args):
            return stack.enter_context(hub_process(HUB, work / name, work / f"{name}.log", "--store", "s3://hub/bench", *args, env=environment))

        nodes = [node(f"node{at}") for at in range(NODES)]
        publisher = {**os.environ, "HUB_SERVER": nodes[0][0], "HUB_TOKEN": nodes[0][1], "HUB_CACHE": str(work / "cache")}
        subprocess.run([str(HUB), "publish", str(folder), MODEL, "--quiet"], check=True, env=publisher, stdout=subprocess.DEVNULL)
        asked = [f"{VERSION}/manifest", *(f"{VERSION}/files/{name}" for name in files)]
        # The list as nginx has it is the very one.
        (folder / "manifest").write_bytes(get(nodes[0][0] + asked[0]))
        plain = ["/manifest", *(f"/{name}" for name in files)]
        beside = [database_pid, s3_pid]
        hub = Peer("two nodes", [address for address, _, _ in nodes], asked, [pid for _, _, pid in nodes] + beside)
        nginx = Peer("nginx", *nginx_peer(stack, work / "nginx", folder, plain))
        for peer in (hub, nginx):
            peer.check(sha256)
            peer.pull(2 * NODES)
        for _ in range(ROUNDS):
            for peer in (hub, nginx):
                peer.measure()
        for peer in (hub, nginx):
            peer.say()
        ratio(f"pulls-{PULLS}", hub.rate() / nginx.rate())
        beside_bucket(stack, work, (folder, plain), (node("leads")[0], s3_pid), (hub, sha256))


def nginx_peer(stack, work, folder, paths, location=""):
    address, pid = stack.enter_context(nginx_server(work, folder, True, location))
    return [address], paths, [pid]


def beside_bucket(stack, work, files, bucket, ours):
    """nginx in front of the bucket, as a balancer without a hub would be: its bytes come the way the nodes' do, and nobody proves them."""
    (folder, plain), (leader, s3_pid), (hub, sha256) = files, bucket, ours
    signed = signed_address(leader)
    if signed is None:
        print("a node with --redirect-downloads leads nowhere; nginx in front of the bucket was not measured", flush=True)
        return
    host = signed.split("/")[2]
    location = (
        f"location = /weights.dat {{ proxy_pass {signed}; proxy_set_header Host {host}; proxy_http_version 1.1; "
        "proxy_set_header Connection ''; proxy_set_header Accept-Encoding ''; proxy_max_temp_file_size 0; }"
    )
    addresses, paths, pids = nginx_peer(stack, work / "nginx-bucket", folder, plain, location)
    peer = Peer("nginx on bucket", addresses, paths, pids + [s3_pid])
    peer.check(sha256)
    peer.measure()
    peer.say()
    ratio(f"pulls-{PULLS}/nginx-on-bucket", hub.rate() / peer.rate())


def main():
    build_hub()
    with tempfile.TemporaryDirectory(prefix="hub-bench.") as folder:
        os.chmod(folder, 0o755)
        compare(Path(folder))


if __name__ == "__main__":
    main()
