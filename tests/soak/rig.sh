# Disks that can fail, and a hub on them. Sourced by powercut.sh and diskerror.sh.
#
#   disk.img <- nbdkit (a disk with a volatile write cache, or one that returns errors) <- nbdfuse <- loop <- ext4
#
# What the hub acknowledged is noted in $WORK/acked, outside of the disk: "repo number commit" a line.
set -uo pipefail

# Mounts of our own: a namespace that another program copies meanwhile (a container that starts) would keep our disk
# mounted after we have unmounted it, and two mounted file systems would write to one image.
if [ "$(id -u)" -eq 0 ] && [ -z "${HUB_RIG_APART:-}" ] && unshare -m true 2>/dev/null; then
    HUB_RIG_APART=1 exec unshare -m bash "$0" "$@"
fi

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
HUB=${HUB:-$ROOT/target/debug/hub}
WORK=$(mktemp -d "${TMPDIR:-/tmp}/hub-soak.XXXXXX")
IMAGE=$WORK/disk.img
MNT=$WORK/mnt
mkdir -p "$MNT" "$WORK/fuse" "$WORK/home"
NBDKIT="" NBDFUSE="" LOOP="" SERVER="" PUBLISHERS=""

skip() {
    echo "skipped: $*"
    exit 0
}

fail() {
    echo "FAILED: $*" >&2
    tail -n 20 "$WORK"/*.log >&2
    exit 1
}

need_a_failing_disk() {
    [ "$(id -u)" -eq 0 ] || skip "mounting a disk takes root"
    local tool
    for tool in nbdkit nbdfuse fusermount3 mkfs.ext4 e2fsck losetup python3 "$@"; do
        command -v "$tool" >/dev/null || skip "$tool is missing (.ci/packages soak installs it)"
    done
    [ -c /dev/fuse ] || skip "this machine has no /dev/fuse"
    losetup -f >/dev/null 2>&1 || skip "this machine has no loop devices"
    [ -x "$HUB" ] || fail "build the hub first: cargo build"
}

# end PID...: ends processes of ours and waits until they are gone.
end() {
    local pid
    for pid in "$@"; do
        kill -9 "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
        while kill -0 "$pid" 2>/dev/null; do sleep 0.01; done
    done
}

cleanup() {
    end $PUBLISHERS $SERVER
    umount -l "$MNT" 2>/dev/null
    [ -n "$LOOP" ] && losetup -d "$LOOP" 2>/dev/null
    end $NBDFUSE $NBDKIT
    umount -l "$WORK/fuse" 2>/dev/null
    rm -rf "$WORK"
}
trap cleanup EXIT

new_disk() {
    rm -f "$IMAGE" "$WORK/acked"
    truncate -s 2G "$IMAGE"
    mkfs.ext4 -q -F "$IMAGE"
    : >"$WORK/acked"
}

# until_true COMMAND...: a moment's patience for what starts beside us.
until_true() {
    local try
    for try in $(seq 200); do
        "$@" && return 0
        sleep 0.05
    done
    fail "this did not become true: $*"
}

# mount_failing NBDKIT-ARGUMENTS...: the disk behind something that can fail.
mount_failing() {
    rm -f "$WORK/sock"
    nbdkit -f -U "$WORK/sock" "$@" >>"$WORK/nbdkit.log" 2>&1 &
    NBDKIT=$!
    until_true test -S "$WORK/sock"
    nbdfuse "$WORK/fuse/nbd" --unix "$WORK/sock" >>"$WORK/nbdfuse.log" 2>&1 &
    NBDFUSE=$!
    # It aborts when its disk is gone, which the shell need not announce.
    disown "$NBDFUSE"
    until_true test -s "$WORK/fuse/nbd"
    LOOP=$(losetup -f --show "$WORK/fuse/nbd") || fail "no loop device for the disk"
    mount -o errors=remount-ro "$LOOP" "$MNT" || fail "the disk cannot be mounted"
}

unmount_failing() {
    umount -l "$MNT"
    losetup -d "$LOOP"
    LOOP=""
    # Whoever still holds the dead disk is ours and about to end.
    end $NBDFUSE $NBDKIT
    NBDFUSE="" NBDKIT=""
    umount -l "$WORK/fuse/nbd" 2>/dev/null
    umount -l "$WORK/fuse" 2>/dev/null
}

# The disk as it is, checked first as any system does at start.
mount_plain() {
    e2fsck -fy "$IMAGE" >>"$WORK/e2fsck.log" 2>&1
    [ $? -le 2 ] || fail "the file system cannot be repaired"
    mount -o loop "$IMAGE" "$MNT" || fail "the repaired disk cannot be mounted"
}

# start_hub [PREFIX...]: serves from the disk; 1 if it does not come up.
start_hub() {
    local log=$WORK/hub.log
    : >"$log"
    env -i PATH="$PATH" HOME="$WORK/home" "$@" "$HUB" serve --listen 127.0.0.1:0 --workers 0 --data "$MNT/hub" 2>>"$log" &
    SERVER=$!
    local try
    for try in $(seq 400); do
        URL=$(sed -n 's/^listening on //p' "$log")
        [ -n "$URL" ] && break
        kill -0 "$SERVER" 2>/dev/null || return 1
        sleep 0.025
    done
    [ -f "$WORK/token" ] || cp "$MNT/hub/admin-token" "$WORK/token"
    [ -n "$URL" ]
}

stop_hub() {
    kill "$SERVER" 2>/dev/null
    wait "$SERVER" 2>/dev/null
    SERVER=""
}

client() {
    env -i PATH="$PATH" HOME="$WORK/home" HUB_SERVER="$URL" HUB_TOKEN="$(cat "$WORK/token")" "$HUB" "$@"
}

# publish_on NAME: version after version, each noted once it is acknowledged.
publish_on() {
    local folder=$WORK/folder.$1 number=0 answer
    mkdir -p "$folder"
    head -c 150000 /dev/urandom >"$folder/same.dat"
    while :; do
        number=$((number + 1))
        printf '# %s\n\nround %s, number %s\n' "$1" "$ROUND" "$number" >"$folder/README.md"
        head -c $((RANDOM * 8)) /dev/urandom >"$folder/weights.dat"
        answer=$(client publish "$folder" "library/$1" --json 2>>"$WORK/client.log") || continue
        # One write for one line: two publishers note theirs in the same file.
        python3 -c 'import json, sys
v = json.load(sys.stdin)
sys.stdout.write("{} {} {}\n".format(v["repo"], v["version"]["number"], v["version"]["commit"]))' <<<"$answer" >>"$WORK/acked"
    done
}

start_publishers() {
    local name
    for name in "$@"; do
        publish_on "$name" &
        PUBLISHERS="$PUBLISHERS $!"
    done
}

stop_publishers() {
    end $PUBLISHERS
    PUBLISHERS=""
}

acked() {
    wc -l <"$WORK/acked"
}

# verify: how many acknowledged versions are not whole, as "lost N of M".
verify() {
    python3 "$ROOT/tests/soak/verify.py" "$URL" "$WORK/acked"
}
