"""Writes tests/golden/transform.safetensors: how PIL, torchvision and timm decode and prepare small images.

Run with a Python that has timm, torchvision, pillow, numpy and safetensors:

    python tests/golden/make_transform.py

`transform.NAME.input` is an image (H, W, 3), `transform.NAME.output` timm's eval view of it as bytes (3, H, W) before
normalisation; the settings are in the file's metadata. `file.NAME` is an encoded file, `pixels.NAME` what PIL makes of it.
"""

import io
import json
from pathlib import Path

import numpy
from PIL import Image, ImageOps
from safetensors.numpy import save_file
from timm.data import create_transform

# name, (width, height) of the image, (height, width) of the input, interpolation, crop_pct, crop_mode (center unless given)
CASES = [
    ("landscape", (61, 47), (32, 32), "bicubic", 0.875),
    ("portrait", (40, 90), (24, 24), "bilinear", 0.9),
    ("enlarged", (28, 28), (64, 64), "bicubic", 0.875),
    ("strong", (200, 150), (24, 24), "bicubic", 0.875),
    ("lanczos", (64, 50), (32, 32), "lanczos", 0.95),
    ("oblong", (70, 60), (24, 32), "bicubic", 0.875),
    ("whole", (50, 33), (33, 33), "bilinear", 1.0),
    ("squashed", (90, 40), (32, 32), "bicubic", 0.95, "squash"),
    ("squashed-oblong", (40, 90), (24, 32), "bilinear", 1.0, "squash"),
    ("bordered", (90, 40), (32, 32), "bicubic", 1.0, "border"),
    ("bordered-tall", (31, 97), (32, 32), "bilinear", 0.95, "border"),
    ("bordered-oblong", (70, 60), (24, 40), "bicubic", 0.9, "border"),
    ("beyond", (50, 40), (32, 32), "bicubic", 1.1),
    ("nearest", (61, 47), (32, 32), "nearest", 0.875),
    ("nearest-squashed", (50, 90), (32, 32), "nearest", 0.9, "squash"),
    ("box", (61, 47), (24, 24), "box", 0.875),
    ("hamming", (61, 47), (24, 24), "hamming", 0.875),
]
MEAN = (0.485, 0.456, 0.406)


def picture(width, height, seed):
    """Edges, ramps and a little noise: what resampling filters disagree on."""
    random = numpy.random.default_rng(seed)
    y, x = numpy.mgrid[0:height, 0:width]
    red = 255.0 * x / max(width - 1, 1)
    green = 127.5 + 127.5 * numpy.sin(y / 3.0) * numpy.cos(x / 5.0)
    blue = numpy.where((x // 7 + y // 5) % 2 == 0, 235.0, 20.0)
    noise = random.uniform(-12, 12, (height, width, 3))
    return numpy.clip(numpy.stack([red, green, blue], -1) + noise, 0, 255).astype(numpy.uint8)


def smooth(width, height):
    y, x = numpy.mgrid[0:height, 0:width]
    return numpy.stack([255 * x / width, 255 * y / height, 255 * (x + y) / (width + height)], -1).astype(numpy.uint8)


def encoded(image, form, **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return numpy.frombuffer(out.getvalue(), numpy.uint8).copy()


def main():
    tensors, settings = {}, {}
    for seed, (name, (width, height), size, interpolation, crop_pct, *mode) in enumerate(CASES):
        image = picture(width, height, seed)
        crop_mode = mode[0] if mode else "center"
        # The mean decides the colour of a border; it is taken off again here.
        transform = create_transform(
            (3, *size), is_training=False, interpolation=interpolation, crop_pct=crop_pct, crop_mode=crop_mode, mean=MEAN, std=(1, 1, 1)
        )
        view = transform(Image.fromarray(image)).numpy() + numpy.array(MEAN, numpy.float32)[:, None, None]
        tensors[f"transform.{name}.input"] = image
        tensors[f"transform.{name}.output"] = numpy.rint(view * 255).astype(numpy.uint8)
        settings[name] = json.dumps({"size": size, "interpolation": interpolation, "crop_pct": crop_pct, "crop_mode": crop_mode})

    rgb = Image.fromarray(smooth(40, 24))
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = (numpy.arange(24 * 40, dtype=numpy.uint32).reshape(24, 40) * 65535 // 959).astype(numpy.uint16)
    files = {
        "plain.jpg": encoded(rgb, "JPEG", quality=95, subsampling=0),
        "progressive.jpg": encoded(rgb, "JPEG", quality=95, subsampling=0, progressive=True),
        "gray.jpg": encoded(rgb.convert("L"), "JPEG", quality=95),
        "cmyk.jpg": encoded(rgb.convert("CMYK"), "JPEG", quality=95),
        "rotated.jpg": encoded(rgb, "JPEG", quality=95, subsampling=0, exif=exif),
        "gray.png": encoded(rgb.convert("L"), "PNG"),
        "alpha.png": encoded(rgb.convert("RGBA"), "PNG"),
        "gray-alpha.png": encoded(rgb.convert("LA"), "PNG"),
        "palette.png": encoded(rgb.quantize(16), "PNG"),
        "bits.png": encoded(rgb.convert("1"), "PNG"),
        "still.gif": encoded(rgb.quantize(16), "GIF"),
        "lossless.webp": encoded(rgb, "WEBP", lossless=True),
        "plain.bmp": encoded(rgb, "BMP"),
    }
    for name, data in files.items():
        tensors[f"file.{name}"] = data
        shown = ImageOps.exif_transpose(Image.open(io.BytesIO(data.tobytes())))
        tensors[f"pixels.{name}"] = numpy.asarray(shown.convert("RGB"))
    # PIL clips 16-bit gray when it converts to RGB, so the expected pixels are computed here.
    tensors["file.deep.png"] = encoded(Image.fromarray(wide), "PNG")
    tensors["pixels.deep.png"] = numpy.repeat(numpy.rint(wide / 257.0).astype(numpy.uint8)[..., None], 3, -1)

    frames = [Image.fromarray(smooth(16, 16)), Image.fromarray(smooth(16, 16)[::-1].copy())]
    for name, form in [("moving.gif", "GIF"), ("moving.webp", "WEBP"), ("moving.png", "PNG")]:
        tensors[f"refused.{name}"] = encoded(frames[0], form, save_all=True, append_images=frames[1:])
    save_file(tensors, Path(__file__).with_name("transform.safetensors"), metadata=settings)


if __name__ == "__main__":
    main()
