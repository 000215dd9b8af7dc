#!/usr/bin/env bash
# Cuts the power under a hub that is being published to, many times: everything it acknowledged must be there after
# the restart. The same with a hub that does not sync must be seen to lose something, or the rig proves nothing.
#
# usage: powercut.sh [ROUNDS]
source "$(dirname "${BASH_SOURCE[0]}")/rig.sh"
ROUNDS=${1:-${HUB_SOAK_CUTS:-200}}
CONTROLS=3
need_a_failing_disk eatmydata

# one_round [PREFIX...]: publishes for a second or so, and the power is gone.
one_round() {
    mount_failing --filter=cache file "$IMAGE" cache=writeback
    start_hub "$@" || fail "the hub does not start on a good disk"
    # What is there before the first publish is not what is tested.
    [ -s "$WORK/acked" ] || sync -f "$MNT"
    start_publishers one two
    sleep "$((RANDOM % 2)).$((RANDOM % 10))$((RANDOM % 10))"
    until_true test -s "$WORK/acked"
    end "$NBDKIT"
    NBDKIT=""
    end "$SERVER"
    SERVER=""
    stop_publishers
    unmount_failing
}

# after_the_cut: 0 if nothing is lost.
after_the_cut() {
    mount_plain
    local code=1
    if start_hub; then
        RESULT=$(verify 2>>"$WORK/verify.log")
        code=$?
        stop_hub
    else
        RESULT="lost all of $(acked): the hub does not start"
    fi
    return $code
}

new_disk
for ROUND in $(seq "$ROUNDS"); do
    one_round
    after_the_cut || fail "round $ROUND: $RESULT; $(cat "$WORK/verify.log")"
    "$HUB" admin fsck --data "$MNT/hub" >"$WORK/fsck.log" 2>&1 || fail "round $ROUND: fsck is not clean"
    umount "$MNT"
    [ $((ROUND % 20)) -ne 0 ] || echo "power cut $ROUND: $RESULT"
done
echo "$ROUNDS power cuts: $RESULT acknowledged versions"

control_lost=0
for ROUND in $(seq "$CONTROLS"); do
    new_disk
    rm -f "$WORK/token"
    one_round eatmydata
    after_the_cut || control_lost=$((control_lost + 1))
    umount "$MNT"
    echo "control $ROUND, without syncing: $RESULT"
done
[ "$control_lost" -gt 0 ] || fail "a hub that does not sync lost nothing: the rig proves nothing"
