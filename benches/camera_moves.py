#!/usr/bin/env python3
"""Camera moves of which no single frame tells which one it is: writes a data set of strips for `benches/video_goals.py`.

    python3 benches/camera_moves.py PHOTOS.zip OUT.zip CLIPS_OF_A_PHOTO FRAMES SIDE

Each clip is a camera over one photo (its white ground replaced by a drawn texture): it pans left, right, up or down, or zooms in or out. Where it is half way
(place, scale, light) is drawn alike for all six, and every photo gets every move, so that a frame shows neither the move nor anything that goes with
it; a pan to the left is one to the right played backwards, and so with the others. Training and validation clips are of different photos (the zip's splits).
"""
import io
import sys
import zipfile

import numpy as np
from PIL import Image

# How the camera's window moves from the first frame to the last: in sides of it along x and y, and by which power of the zoom it grows.
MOVES = {"pan-left": (-1, 0, 0), "pan-right": (1, 0, 0), "pan-up": (0, -1, 0), "pan-down": (0, 1, 0), "zoom-in": (0, 0, -1), "zoom-out": (0, 0, 1)}
# The window half way, as shares of the photo's side; how far a pan goes, in windows; how much a zoom changes it from end to end.
WINDOW, PAN, ZOOM = (0.3, 0.5), (0.2, 0.4), (1.5, 2.0)
# What is that bright in all colours is the ground of a cut-out.
WHITE = 240


def texture(random, side):
    """Colours in soft patches of several sizes, and grain."""
    total = np.zeros((side, side, 3))
    for cells, weight in ((3, 1.0), (9, 0.6), (27, 0.4), (81, 0.25)):
        patch = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
        total += weight * (np.asarray(patch, dtype=np.float64) - 128)
    return np.clip(128 + total * 0.6 + random.normal(0, 6, total.shape), 0, 255)


def scene(photo, random):
    pixels = np.asarray(photo, dtype=np.float64)
    pixels = np.where(pixels.min(axis=2, keepdims=True) > WHITE, texture(random, photo.width), pixels)
    if random.random() < 0.5:
        pixels = pixels[:, ::-1]
    return Image.fromarray((pixels * random.uniform(0.7, 1.0)).astype(np.uint8))


def clip(photo, move, random, frames, side):
    """Frames side by side."""
    image = scene(photo, random)
    dx, dy, power = MOVES[move]
    window = random.uniform(*WINDOW) * image.width
    pan, zoom = random.uniform(*PAN), random.uniform(*ZOOM)
    # Far enough from the edges for the widest of all moves, so that places do not tell which one it is.
    reach = window / 2 * max(1 + PAN[1], ZOOM[1] ** 0.5)
    x, y = random.uniform(reach, image.width - reach, 2)
    strip = Image.new("RGB", (frames * side, side))
    for number in range(frames):
        at = number / (frames - 1) - 0.5
        half = window * zoom ** (power * at) / 2
        left, top = x + dx * pan * window * at - half, y + dy * pan * window * at - half
        frame = image.resize((side, side), Image.Resampling.BILINEAR, box=(left, top, left + 2 * half, top + 2 * half))
        strip.paste(frame, (number * side, 0))
    return strip


def main():
    photos, target, each, frames, side = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
    random, counts = np.random.default_rng(7), {"train": 0, "val": 0}
    with zipfile.ZipFile(photos) as source, zipfile.ZipFile(target, "w") as out:
        for name in sorted(source.namelist()):
            split = name.split("/")[0]
            if split not in counts or not name.endswith(".jpg"):
                continue
            photo = Image.open(io.BytesIO(source.read(name))).convert("RGB")
            for move in MOVES:
                for _ in range(each):
                    encoded = io.BytesIO()
                    clip(photo, move, random, frames, side).save(encoded, "JPEG", quality=92)
                    out.writestr(f"{split}/{move}/{counts[split]:05}.jpg", encoded.getvalue())
                    counts[split] += 1
    print(", ".join(f"{count} {split}" for split, count in counts.items()))


if __name__ == "__main__":
    main()
