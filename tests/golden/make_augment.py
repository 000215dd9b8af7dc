"""Writes augment.json: what torchvision makes of a small image. Run with torch and torchvision installed."""

import json
import pathlib

import torch
from torchvision.transforms import InterpolationMode, autoaugment
from torchvision.transforms import functional as F

HEIGHT, WIDTH = 10, 11
generator = torch.Generator().manual_seed(5)
smooth = torch.nn.functional.interpolate(torch.rand(1, 3, 4, 5, generator=generator), (HEIGHT, WIDTH), mode="bilinear")[0]
image = (smooth * 220 + 20 * torch.rand(3, HEIGHT, WIDTH, generator=generator)).to(torch.uint8)
image[:, 0, 0] = torch.tensor([200, 200, 200])


def flat(tensor):
    return tensor.permute(1, 2, 0).reshape(-1).tolist()


colours = {
    "brightness": [(factor, flat(F.adjust_brightness(image, factor))) for factor in (0.4, 1.7)],
    "contrast": [(factor, flat(F.adjust_contrast(image, factor))) for factor in (0.4, 1.7)],
    "saturation": [(factor, flat(F.adjust_saturation(image, factor))) for factor in (0.0, 1.7)],
    "hue": [(turn, flat(F.adjust_hue(image, turn))) for turn in (-0.3, 0.1)],
}
spaces = {
    "rand-augment": autoaugment.RandAugment()._augmentation_space(31, (HEIGHT, WIDTH)),
    "trivial-augment": autoaugment.TrivialAugmentWide()._augmentation_space(31),
}
operations = []
for policy, space in spaces.items():
    for kind, (name, (magnitudes, signed)) in enumerate(space.items()):
        for at, sign in ((9, 1.0), (22, -1.0)):
            magnitude = float(magnitudes[at]) if magnitudes.ndim else 0.0
            magnitude *= sign if signed else 1.0
            made = autoaugment._apply_op(image, name, magnitude, InterpolationMode.NEAREST, None)
            operations.append({"policy": policy, "kind": kind, "name": name, "bin": at, "sign": sign, "made": flat(made)})

golden = {"width": WIDTH, "image": flat(image), "colours": colours, "operations": operations}
target = pathlib.Path(__file__).with_name("augment.json")
target.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
