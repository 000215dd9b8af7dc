"""Two models of npm's human-models, imported into a hub and asked about photos, beside TensorFlow.js itself: `tensorflow_js.py MODELS PHOTOS SCRIPT`.

The same pixels, of the side that the model takes, go to both; boxes, scores and masks must be the same to a thousandth."""
import base64
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import kit
from PIL import Image

MODELS, PHOTOS, SCRIPT = map(Path, sys.argv[1:4])
HUB = os.environ["HUB"]
ASKED = {
    "centernet": {"side": 512, "scale": 1, "output": "tower_0/detections"},
    "selfie": {"side": 256, "scale": 1 / 255, "output": "activation_10"},
}


def hub(*args):
    return json.loads(subprocess.run([HUB, *map(str, args), "--json"], check=True, text=True, stdout=subprocess.PIPE).stdout)


def images(folder, side):
    """Photos at the model's side: PNGs for the hub, bytes for TensorFlow.js."""
    made = []
    for photo in sorted(PHOTOS.glob("imagenet_*")):
        image = Image.open(photo).convert("RGB").resize((side, side), Image.BILINEAR)
        png, raw = folder / f"{photo.stem}-{side}.png", folder / f"{photo.stem}-{side}.raw"
        image.save(png)
        raw.write_bytes(image.tobytes())
        made.append((png, raw))
    assert len(made) == 20, f"{len(made)} photos"
    return made


def boxes_are_the_same(said, theirs, side):
    """Their hundred, those of the hub that are surer than .05, cut at the edges; the same order where scores are not the same."""
    rows = [theirs["values"][at : at + 6] for at in range(0, len(theirs["values"]), 6)]
    cut = lambda value: min(max(value, 0), side)
    wanted = []
    for left, top, right, bottom, score, kind in rows:
        left, top, right, bottom = map(cut, (left, top, right, bottom))
        if score > 0.0505 and right > left and bottom > top:
            wanted.append((int(kind), score, (left, top, right - left, bottom - top)))
    found = [(one["index"], one["score"], one["bbox"]) for one in said["boxes"]["found"]]
    for kind, score, bbox in wanted:
        near = lambda one: one[0] == kind and abs(one[1] - score) < 1e-3 and max(abs(a - b) for a, b in zip(one[2], bbox)) < 1e-3 * side
        assert any(map(near, found)), (kind, score, bbox, found[:3])
    assert abs(len(found) - sum(row[4] > 0.05 for row in rows)) <= 2, (len(found), len(wanted))
    return len(wanted)


def masks_are_the_same(said, theirs, side):
    """A pixel is a person where that is more likely than not, but for those where it hardly is or is not."""
    mask = Image.open(io.BytesIO(base64.b64decode(said["mask"]["png"])))
    classes = list(mask.getdata())
    assert mask.size == (side, side) and len(classes) == len(theirs["values"])
    for own, chance in zip(classes, theirs["values"]):
        assert own == (chance > 0.5) or abs(chance - 0.5) < 1e-3, (own, chance)
    return sum(chance > 0.5 for chance in theirs["values"])


def main():
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        made = {name: images(folder, about["side"]) for name, about in ASKED.items()}
        requests = [{"name": name, **about, "images": [str(raw) for _, raw in made[name]]} for name, about in ASKED.items()]
        (folder / "requests.json").write_text(json.dumps(requests))
        kit.run("node", SCRIPT, MODELS, folder / "requests.json")
        for name, compare in (("centernet", boxes_are_the_same), ("selfie", masks_are_the_same)):
            hub("import", MODELS / f"{name}.json", f"ada/{name}", "--license", "mit", "--dataset", "coco")
            said = hub("predict", f"ada/{name}", *(png for png, _ in made[name]))
            theirs = [json.loads(Path(f"{raw}.json").read_text()) for _, raw in made[name]]
            assert len(said) == len(theirs)
            counts = [compare(own, other, ASKED[name]["side"]) for own, other in zip(said, theirs)]
            assert sum(counts) > 0
            print(f"  {name}: {len(counts)} photos, {sum(counts)} {'boxes' if name == 'centernet' else 'pixels of people'} as TensorFlow.js has them", flush=True)


main()
