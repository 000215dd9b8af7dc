#!/usr/bin/env python3
"""Writes the golden numbers of `tests/towers.rs`: what transformers computes of two towers that share a space, one for images and one for
texts, from weights that both sides make by one formula (that of make.py, see there).

    pip install torch transformers numpy
    python tests/golden/make_towers.py           # writes towers_*.json beside this file

Each kind is built small, with every part it has. A tensor of the state dict, by its name, is

    table of embeddings, probe   2u - 1
    matrix (O, I), patches       (2u - 1) * sqrt(3 / inputs)
    norm weight                  0.5 + u
    logit_scale                  2
    anything else                (2u - 1) * 0.2

rounded to f32; from there transformers computes in f64. Texts are of unequal lengths, one of them as long as may be. The loss is the sum of
the features of images and texts times a weight each.
"""
import json
import math
import pathlib

import numpy as np
import torch
import transformers

from make_text import digits, uniform

HERE = pathlib.Path(__file__).parent
VOCABULARY, PLACES, SIDE, PATCH, LAYERS, HEADS = 41, 12, 16, 4, 2, 2
FIRST, LAST, PAD = 39, 40, 1
SIZES = dict(num_hidden_layers=LAYERS, num_attention_heads=HEADS)
TEXT = dict(SIZES, vocab_size=VOCABULARY, hidden_size=16, intermediate_size=24, max_position_embeddings=PLACES, bos_token_id=FIRST, eos_token_id=LAST)
IMAGE = dict(SIZES, hidden_size=20, intermediate_size=28, image_size=SIDE, patch_size=PATCH)
KINDS = {
    "clip": (transformers.CLIPConfig, transformers.CLIPModel, dict(text_config=dict(TEXT, pad_token_id=PAD), vision_config=IMAGE, projection_dim=12)),
    "clip_gelu": (transformers.CLIPConfig, transformers.CLIPModel, dict(text_config=dict(TEXT, pad_token_id=PAD, hidden_act="gelu"), vision_config=dict(IMAGE, hidden_act="gelu"), projection_dim=12)),
    "siglip": (transformers.SiglipConfig, transformers.SiglipModel, dict(text_config=dict(TEXT, pad_token_id=PAD, projection_size=20), vision_config=IMAGE)),
}


def fill(name, shape):
    if name == "logit_scale":
        return torch.full(shape, 2.0)
    u = uniform(name, math.prod(shape)).reshape(shape)
    if ("embeddings." in name and len(shape) == 2) or name.endswith("probe"):
        values = 2 * u - 1
    elif len(shape) > 1:
        values = (2 * u - 1) * math.sqrt(3 / math.prod(shape[1:]))
    elif name.endswith(".weight"):
        values = 0.5 + u
    else:
        values = (2 * u - 1) * 0.2
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def texts():
    lengths = [4, PLACES, 2, 7]
    return [[FIRST] + [2 + (7 * at * at + 3 * text + at) % (FIRST - 3) for at in range(length - 2)] + [LAST] for text, length in enumerate(lengths)]


def make(kind):
    config, network, settings = KINDS[kind]
    config = config(**settings, attn_implementation="eager")
    net = network(config)
    shapes = {key: list(value.shape) for key, value in net.state_dict().items() if value.is_floating_point()}
    net.load_state_dict({key: fill(key, tuple(shape)) for key, shape in shapes.items()}, strict=True)
    net = net.double().eval()
    pixels = torch.from_numpy(2 * uniform("pixels", 2 * 3 * SIDE * SIDE) - 1).reshape(2, 3, SIDE, SIDE)
    images = net.vision_model(pixel_values=pixels).pooler_output
    ids = texts()
    rows = [row + [PAD] * (PLACES - len(row)) for row in ids] if kind == "siglip" else ids
    words = torch.cat([net.text_model(input_ids=torch.tensor([row])).pooler_output for row in rows])
    if kind != "siglip":
        images, words = net.visual_projection(images), net.text_projection(words)
    weight = lambda name, of: torch.from_numpy(2 * uniform(name, of.numel()) - 1).reshape(of.shape)  # noqa: E731
    ((images * weight("images", images)).sum() + (words * weight("texts", words)).sum()).backward()
    unit = lambda rows: rows / rows.norm(dim=-1, keepdim=True)  # noqa: E731
    shares = (net.logit_scale.exp() * unit(images) @ unit(words).t()).softmax(-1)
    gradients = {key: digits(value.grad) for key, value in net.named_parameters() if value.grad is not None}
    golden = {
        "config": json.loads(config.to_json_string(use_diff=False)), "ids": ids, "tensors": shapes, "images": digits(images), "texts": digits(words),
        "shares": digits(shares), "gradients": gradients,
    }
    golden["config"]["architectures"] = [network.__name__]
    (HERE / f"towers_{kind}.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print(kind, len(gradients), images.abs().mean().item(), words.abs().mean().item(), shares[0].tolist())


if __name__ == "__main__":
    print("transformers", transformers.__version__)
    for kind in KINDS:
        make(kind)
