#!/usr/bin/env bash
# A disk that returns errors under a hub that is being published to: the hub says so and lives on, and what it
# acknowledged is there once the disk is good again.
#
# usage: diskerror.sh [ROUNDS]
source "$(dirname "${BASH_SOURCE[0]}")/rig.sh"
ROUNDS=${1:-${HUB_SOAK_ERRORS:-20}}
need_a_failing_disk

new_disk
for ROUND in $(seq "$ROUNDS"); do
    mount_failing --filter=error file "$IMAGE" error=EIO error-rate=100% error-file="$WORK/inject"
    start_hub || fail "the hub does not start on a good disk"
    start_publishers one two
    sleep "0.$((RANDOM % 10))$((RANDOM % 10))"
    until_true test -s "$WORK/acked"
    touch "$WORK/inject"
    sleep 1
    stop_publishers
    code=$(curl -s -o "$WORK/answer" -w '%{http_code}' --noproxy '*' "$URL/healthz")
    [ "$code" = 200 ] || fail "round $ROUND: the hub does not answer after a disk error: $code"
    end "$SERVER"
    SERVER=""
    rm -f "$WORK/inject"
    unmount_failing
    mount_plain
    start_hub || fail "round $ROUND: the hub does not start after a disk error"
    RESULT=$(verify 2>>"$WORK/verify.log") || fail "round $ROUND: $RESULT; $(cat "$WORK/verify.log")"
    stop_hub
    "$HUB" admin fsck --data "$MNT/hub" >"$WORK/fsck.log" 2>&1 || fail "round $ROUND: fsck is not clean"
    umount "$MNT"
done
echo "$ROUNDS disk errors: $RESULT acknowledged versions"
