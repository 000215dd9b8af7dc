#!/usr/bin/env bash
# The main job on real weights, images and texts, from nothing: build, import, a bundle of the library, browse, pull, fine-tune, predict.
# `examples/demo.sh --exit` ends by itself; without it the hub stays up until Ctrl-C. Needs a network only for PyPI.
set -euo pipefail
cd "$(dirname "$0")/.."

stay=yes
for argument in "$@"; do
    case "$argument" in
    --exit) stay=no ;;
    *) echo "usage: examples/demo.sh [--exit]" >&2; exit 2 ;;
    esac
done

bold=""; dim=""; plain=""
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m'; dim=$'\e[2m'; plain=$'\e[0m'; fi
count=0
step() { count=$((count + 1)); printf '\n%s%2d. %s%s\n' "$bold" "$count" "$1" "$plain"; }
show() { printf '%s    $ %s%s\n' "$dim" "$*" "$plain"; }
run() { show "$@"; "$@" | sed 's/^/    /'; }
fail() { printf '\nThe demo stopped: %s\n' "$1" >&2; exit 1; }

work=$(mktemp -d "${TMPDIR:-/tmp}/hub-demo.XXXXXX")
server=""
finish() {
    status=$?
    trap - EXIT INT TERM
    if [ -n "$server" ] && kill -0 "$server" 2>/dev/null; then kill "$server"; wait "$server" 2>/dev/null || true; fi
    if [ "$status" -ne 0 ] && [ "$status" -ne 130 ] && [ -s "$work/serve.log" ]; then
        echo "the server's last words:" >&2
        tail -n 20 "$work/serve.log" >&2
    fi
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

step "Build the one binary (release)"
cargo build --release --locked --bin hub
export PATH="$PWD/target/release:$PATH"
hub --version | sed 's/^/    /'

step "Start a hub on a free port, with a new data directory and an index of what is to be had from PyPI"
HUB_LIBRARY_FILE=examples/library.toml HUB_LIBRARY_UPSTREAM=off hub serve --data "$work/data" --listen 127.0.0.1:0 >"$work/serve.log" 2>&1 &
server=$!
for _ in $(seq 300); do
    address=$(grep -aoE 'http://127\.0\.0\.1:[0-9]+' "$work/serve.log" | head -n 1 || true)
    [ -n "$address" ] && curl -fsS "$address/readyz" >/dev/null 2>&1 && break
    kill -0 "$server" 2>/dev/null || fail "hub serve ended at once"
    sleep 0.1
done
[ -n "$address" ] || fail "hub serve gave no address"
export HUB_SERVER="$address" HUB_CACHE="$work/cache" HUB_CONFIG="$work/config.toml"
HUB_TOKEN=$(cat "$work/data/admin-token")
export HUB_TOKEN
echo "    $address"
run hub whoami

step "Fetch real ImageNet weights from PyPI (cached)"
weights=$(bash examples/fetch_weights.sh) || fail "the weights could not be fetched; is PyPI reachable?"
lite0=$(sed -n 1p <<<"$weights")
mobilenet=$(sed -n 2p <<<"$weights")
labels=$(bash examples/fetch_weights.sh --labels) || fail "the names of ImageNet's classes could not be fetched"
printf '%s\n' "$weights" "$labels" | sed 's/^/    /'

step "Look into the library: what is known of them before a byte is here"
run hub search --source-dataset imagenet-1k
run hub library show dataset:imagenet-1k

step "Make a bundle of them; nothing in the pickles is executed"
run hub import "$lite0" --to "$work/lite0" --license apache-2.0 --dataset imagenet-1k --labels "$labels"
run hub import "$mobilenet" --to "$work/mobilenet" --license mit --dataset imagenet-1k
run hub library bundle "$work/models.tar" tf_efficientnet_lite0="$work/lite0" mobilenetv2_100="$work/mobilenet"

step "Add it to the library, as a hub without a network does: the weights must hash to what the index says"
run hub library add --bundle "$work/models.tar"
run hub show tf_efficientnet_lite0

step "Classify foolbox's 20 labelled ImageNet photos with EfficientNet-Lite0"
photos="${XDG_CACHE_HOME:-$HOME/.cache}/backbone-hub/assets"
[ -e "$photos"/foolbox-3.3.4-*.whl ] || python3 -m pip download -q --no-deps --dest "$photos" foolbox==3.3.4
mkdir -p "$work/photos"
unzip -q -j "$photos"/foolbox-3.3.4-*.whl 'foolbox/data/imagenet_*' -d "$work/photos"
hub predict "$work"/photos/imagenet_* --model tf_efficientnet_lite0 --top 5 --json >"$work/predictions.json"
python3 - "$work/predictions.json" <<'SCORE' | sed 's/^/    /'
import json, re, sys
top1 = top5 = 0
answers = json.load(open(sys.argv[1]))
for answer in answers:
    truth = int(re.search(r"imagenet_\d+_(\d+)\.", answer["image"]).group(1))
    ranked = [c["index"] for c in answer["classes"]]
    top1 += ranked[0] == truth
    top5 += truth in ranked
assert len(answers) == 20, f"expected 20 answers, got {len(answers)}"
print(f"top-1 {top1}/20, top-5 {top5}/20")
assert top1 >= 16, "fewer hits than these weights have: something is wrong"
SCORE

step "Pull into a fresh cache and verify every byte"
run hub pull tf_efficientnet_lite0
pulled=$(hub pull tf_efficientnet_lite0 --quiet)
curl -fsS "$address/api/v1/models/library/tf_efficientnet_lite0/versions/main/SHA256SUMS" >"$work/SHA256SUMS"
(cd "$pulled" && show sha256sum -c SHA256SUMS && sha256sum -c "$work/SHA256SUMS" | sed 's/^/    /')

step "Upload a data set: 4,000 Fashion-MNIST images, a folder per class"
cat >"$work/fashion.md" <<'CARD'
---
pretty_name: Fashion-MNIST, 4,000 images
license: mit
task_categories: [image-classification]
tags: [image]
homepage: https://github.com/zalandoresearch/fashion-mnist
---
# Fashion-MNIST, 4,000 images

3,000 training and 1,000 validation images of clothes in 10 classes, 28 px, gray: a sample of Zalando Research's Fashion-MNIST.
CARD
run hub publish examples/fashion_mnist_4k.zip library/fashion-mnist-4k --dataset --card "$work/fashion.md" --message "4,000 images, 10 classes"

step "Fine-tune MobileNetV2, head only, on the server"
recipe=(--base mobilenetv2_100 --dataset library/fashion-mnist-4k --strategy head --epochs 10 --image-size 96 --watch)
show hub finetune "${recipe[@]}" --name library/fashion-mobilenet
hub finetune "${recipe[@]}" --name library/fashion-mobilenet

step "The same head on random weights: what the pretrained features are worth"
show hub finetune "${recipe[@]}" --name library/fashion-random --from-scratch
hub finetune "${recipe[@]}" --name library/fashion-random --from-scratch --quiet >/dev/null
python3 - "$address" <<'COMPARE' | sed 's/^/    /'
import json, sys, urllib.request
def top1(name):
    facts = json.load(urllib.request.urlopen(f"{sys.argv[1]}/api/v1/models/library/{name}"))["facts"]
    values = {m["name"]: m["value"] for m in facts["metrics"]}
    return values.get("top1", values.get("accuracy"))
pretrained, scratch = top1("fashion-mobilenet"), top1("fashion-random")
print(f"validation top-1: pretrained {pretrained:.3f}, random weights {scratch:.3f}")
assert pretrained > scratch + 0.1, "pretrained features should be worth more than this"
COMPARE

step "Pull the result and classify an image with it, offline"
run hub pull library/fashion-mobilenet
unzip -q -o examples/fashion_mnist_4k.zip 'val/ankle_boot/*' -d "$work/images"
boot=$(find "$work/images/val/ankle_boot" -type f -print -quit)
run hub predict "$boot" --model library/fashion-mobilenet --local --top 3

step "Fetch a text encoder and texts from PyPI (cached): all-MiniLM-L6-v2 and the SMS spam collection"
texts=$(bash examples/fetch_weights.sh --text) || fail "the text encoder could not be fetched; is PyPI reachable?"
minilm=$(sed -n 1p <<<"$texts")
messages=$(sed -n 2p <<<"$texts")
printf '%s\n' "$texts" | sed 's/^/    /'
run hub publish "$minilm" library/minilm --message "all-MiniLM-L6-v2"

step "Upload 1,600 messages, a label and a text a line: 1,200 to train on, 400 to measure on"
mkdir -p "$work/sms"
python3 - "$messages" "$work/sms" <<'SPLIT'
import random, sys
rows = sorted(set(line for line in open(sys.argv[1], encoding="utf-8").read().splitlines() if "\t" in line))
random.Random(7).shuffle(rows)
for name, part in (("train", rows[:1200]), ("val", rows[1200:1600])):
    with open(f"{sys.argv[2]}/{name}.tsv", "w", encoding="utf-8") as out:
        out.write("label\ttext\n" + "\n".join(part) + "\n")
SPLIT
cat >"$work/sms/README.md" <<'CARD'
---
pretty_name: SMS spam, 1,600 messages
license: other
task_categories: [text-classification]
language: en
---
# SMS spam, 1,600 messages

A sample of the SMS spam collection (Almeida, Hidalgo and Yamakami 2011), ham or spam.
CARD
run hub publish "$work/sms" library/sms-spam --dataset --message "1,600 messages"

step "Fine-tune MiniLM on them: the best head on its features, and its upper layers where that pays"
recipe=(--base library/minilm --dataset library/sms-spam --name library/spam-minilm --epochs 2 --watch)
show hub finetune "${recipe[@]}"
hub finetune "${recipe[@]}"
curl -fsS "$address/api/v1/models/library/spam-minilm/versions/main/files/metrics.json" -o "$work/spam.json"
python3 - "$work/spam.json" <<'RECALL' | sed 's/^/    /'
import json, sys
spam = next(c for c in json.load(open(sys.argv[1]))["validation"]["per_class"] if c["class"] == "spam")
print(f"of {spam['support']} spam messages {spam['recall']:.3f} were found, and {spam['precision']:.3f} of what was called spam is")
assert spam["recall"] >= 0.85, "this encoder finds more than that: something is wrong"
RECALL
run hub predict library/spam-minilm --text 'WINNER! Claim your free prize, call now' --text 'Are we still on for lunch tomorrow?' --top 1

printf '\n%sDone.%s The catalog is at %s\n' "$bold" "$plain" "$address"
if [ "$stay" = yes ]; then
    echo "Log in there with the token in $work/data/admin-token. Ctrl-C stops the hub and removes its data."
    wait "$server"
fi
