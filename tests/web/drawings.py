"""What the browser's journeys work with, made here: pictures of shapes, and a base model of few pixels. Nothing is fetched."""
import json
import math
import random
import zipfile

import numpy
from PIL import Image, ImageDraw

import kit

SHAPES = {"circle": (205, 70, 50), "square": (50, 160, 80), "triangle": (60, 90, 200)}
WORD = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 2
WORDS = "man 1.0 0.0 0.1\nking 0.76 0.64 0.1\nwoman 0.5 0.86 0.1\nqueen -0.17 0.98 0.1\ntree -0.34 -0.94 0.2\n"
CARD = """---
license: apache-2.0
library_name: timm
pipeline_tag: image-classification
tags: [small, vision]
datasets: [library/imagenet-1k]
model-index:
- name: tiny
  results:
  - task: {type: image-classification}
    dataset: {name: ImageNet-1k, type: library/imagenet-1k}
    metrics:
    - {type: top1, value: 0.641}
---
# A small residual network

Made for telling shapes apart. It looks at 32 by 32 pixels, which is enough for them.

| stage | width | blocks |
| --- | ---: | --- |
| 1 | 64 | 2 |
| 4 | 512 | 2 |

```python
import timm
model = timm.create_model("hf-hub:ada/tiny", pretrained=True)
```
"""
# What a stranger may write: none of it may run, and no word may make a page wider than its window.
HOSTILE = f"""---
license: mit
tags: ["<img src=x onerror=alert(1)>", {WORD}]
---
# {WORD}

<script>window.pwned = 1</script><img src=x onerror="window.pwned = 1"><a href="javascript:window.pwned = 1">x</a>

{WORD}

| a column with a long head | {WORD} |
| --- | ---: |
| 1 | 2 |
"""


def picture(name, chance):
    """A shape of mostly its own colour on a noisy ground; one in eight has another's, and is hard to tell."""
    side, colour = chance.randint(44, 64), SHAPES[name if chance.random() > 0.125 else chance.choice(list(SHAPES))]
    noise = numpy.random.default_rng(chance.getrandbits(32)).integers(150, 256, (side, side, 3), dtype=numpy.uint8)
    image = Image.fromarray(noise)
    draw, r = ImageDraw.Draw(image), chance.randint(side // 4, side // 3)
    x, y = chance.randint(r, side - r), chance.randint(r, side - r)
    fill = tuple(min(255, max(0, part + chance.randint(-25, 25))) for part in colour)
    if name == "circle":
        draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)
    elif name == "square":
        draw.rectangle((x - r, y - r, x + r, y + r), fill=fill)
    else:
        draw.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=fill)
    return image


def shapes(folder, each, seed):
    """A folder with a folder for each class; `each` pictures of the first, fewer of the others."""
    chance = random.Random(seed)
    for number, name in enumerate(SHAPES):
        (folder / name).mkdir(parents=True)
        for at in range(each - 4 * number):
            picture(name, chance).save(folder / name / f"{at:03}.png")
    return folder


def moving(folder, each):
    """GIFs of a dot that goes to the left or to the right, twelve frames of 0.15 s, in a folder for each way."""
    chance = random.Random(9)
    for way in ("leftwards", "rightwards"):
        (folder / way).mkdir(parents=True)
        for at in range(each):
            y, ground, colour = chance.randint(10, 38), chance.randint(150, 240), tuple(chance.randint(0, 120) for _ in range(3))
            frames = []
            for number in range(12):
                image = Image.new("RGB", (64, 48), (ground, ground, ground))
                x = 4 + 5 * (number if way == "rightwards" else 11 - number)
                ImageDraw.Draw(image).ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour)
                frames.append(image)
            frames[0].save(folder / way / f"{at:03}.gif", save_all=True, append_images=frames[1:], duration=150, loop=0)
    return folder


def packed(folder, target):
    """The same as one zip."""
    with zipfile.ZipFile(target, "w") as out:
        for path in sorted(folder.rglob("*.png")):
            out.write(path, path.relative_to(folder))
    return target


def blocks():
    """Names and shapes of a resnet18, as timm has them."""
    yield "conv1.weight", (64, 3, 7, 7)
    yield from norm("bn1", 64)
    before = 64
    for stage, width in enumerate((64, 128, 256, 512), 1):
        for block in range(2):
            at = f"layer{stage}.{block}"
            yield f"{at}.conv1.weight", (width, before, 3, 3)
            yield from norm(f"{at}.bn1", width)
            yield f"{at}.conv2.weight", (width, width, 3, 3)
            yield from norm(f"{at}.bn2", width)
            if block == 0 and stage > 1:
                yield f"{at}.downsample.0.weight", (width, before, 1, 1)
                yield from norm(f"{at}.downsample.1", width)
            before = width
    yield "fc.weight", (10, 512)
    yield "fc.bias", (10,)


def norm(name, width):
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (width,)


def weights(seed):
    """The bytes of a safetensors file of random weights, drawn after He."""
    draw, header, data = numpy.random.default_rng(seed), {}, []
    at = 0
    for name, shape in blocks():
        if len(shape) > 1:
            fan = math.prod(shape[1:]) if len(shape) == 4 else shape[1]
            tensor = draw.standard_normal(shape, dtype=numpy.float32) * numpy.float32(math.sqrt(2 / fan))
        else:
            tensor = numpy.full(shape, 1 if name.endswith(("running_var", "weight")) else 0, numpy.float32)
        raw = tensor.astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + len(raw)]}
        at += len(raw)
        data.append(raw)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + b"".join(data)


def base(folder):
    """A model's folder, which timm and the hub read alike."""
    config = {"architecture": "resnet18", "num_classes": 10, "num_features": 512}
    config["pretrained_cfg"] = {"input_size": [3, 32, 32], "num_classes": 10, "crop_pct": 1.0}
    return kit.write(folder, {"README.md": CARD, "config.json": json.dumps(config), "model.safetensors": weights(7)})
