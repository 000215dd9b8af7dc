#!/usr/bin/env python3
"""Writes the golden numbers of `tests/nn.rs`: what timm computes from weights that both sides make by one formula.

    pip install torch timm numpy
    python tests/golden/make.py            # writes eval.json and train_*.json beside this file
    python tests/golden/make.py eval=NAME NAME      # adds or makes again those of one architecture

The formula. A tensor of the state dict is filled element by element (C order, index i):

    h = splitmix64(fnv1a64(name) + i)                 both modulo 2^64
    u = (h >> 11) / 2^53                              in [0, 1)

    conv weight (O, I, kh, kw)   (2u - 1) * sqrt(6 / (I * kh * kw))     variance 2 / fan-in: keeps activations' size
    linear weight (O, I)         (2u - 1) * sqrt(3 / I), and a quarter of that where a transformer adds to its tokens
    linear bias                  (2u - 1) * 0.1
    bias of a convolution        (2u - 1) * 0.2
    class token, positions       2u - 1
    layer scale (gamma)          0.125 + u / 4
    norm weight                  0.5 + u, and a quarter of that for a block's bn2 and bn3
    norm bias                    (2u - 1) * 0.2
    norm running_mean            (2u - 1) * 0.2
    norm running_var             0.5 + u
    input image (B, 3, H, W)     2u - 1, name "input"

rounded to f32; from there timm computes in f64, so that the goldens are the truth and not another rounding of it.
Labels are (7 * b + 3) % classes.

Running statistics that do not describe the activations would let them blow up or die with depth. Each is therefore
first set by one pass in train mode with momentum 1 over a calibration input (name "calibration", batch 4, 96 px);
the Rust side does the same pass itself. The pooled features then have a healthy spread (checked below). Damped
branches (the quarter above) keep a deep random network from amplifying rounding errors, as trained ones do: timm's
own f32 results must lie well within the tolerance of the truth (also checked below), or the comparison would be one
of luck.
"""
import json
import math
import pathlib
import sys

import numpy as np
import timm
import torch

HERE = pathlib.Path(__file__).parent
CLASSES = 10
M64 = (1 << 64) - 1

# Every architecture and the image side at which it is compared: the native one where that is quick.
EVAL = {
    "tf_efficientnet_lite0": 224, "tf_efficientnet_lite1": 240, "tf_efficientnet_lite2": 160,
    "tf_efficientnet_lite3": 140, "tf_efficientnet_lite4": 135,
    "efficientnet_lite0": 224, "efficientnet_lite1": 111, "efficientnet_lite2": 128,
    "efficientnet_lite3": 96, "efficientnet_lite4": 97,
    "mobilenetv2_100": 224, "mobilenetv2_140": 160,
    "mobilenetv3_small_050": 128, "mobilenetv3_small_075": 97, "mobilenetv3_small_100": 224, "mobilenetv3_large_100": 160,
    "efficientnet_b0": 128,
    "resnet18": 224, "resnet34": 160, "resnet50": 224, "resnet101": 129, "resnet152": 128,
    "resnext50_32x4d": 130,
    "vit_tiny_patch16_224": 224, "vit_small_patch16_224": 224, "deit_tiny_patch16_224": 224, "deit_small_patch16_224": 224,
    "convnext_atto": 150,
}
TRAIN = {
    "tf_efficientnet_lite0": 96, "mobilenetv2_100": 72, "mobilenetv3_small_100": 96, "mobilenetv3_large_100": 64,
    "efficientnet_b0": 64, "resnet18": 64, "resnet50": 80, "resnext50_32x4d": 64, "vit_tiny_patch16_224": 224,
    "convnext_atto": 68,
}
CLASSIFIER_BIASES = ("fc.", "classifier.", "head.fc.", "head.bias")
LINEAR_BIASES = (".qkv.bias", "attn.proj.bias", ".fc1.bias", ".fc2.bias")
CONVOLUTION_BIASES = ("conv_reduce.bias", "conv_expand.bias", "conv_head.bias", "patch_embed.proj.bias", "stem.0.bias", "conv_dw.bias")


def fnv1a64(text):
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = ((h ^ byte) * 0x100000001B3) & M64
    return h


def uniform(name, count):
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a64(name)) + np.arange(count, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def fill(name, shape, training):
    u = uniform(name, math.prod(shape)).reshape(shape)
    damped = ".bn3.weight" if training else (".bn2.weight", ".bn3.weight")
    if len(shape) == 4:
        values = (2 * u - 1) * math.sqrt(6 / (shape[1] * shape[2] * shape[3]))
    elif len(shape) == 3:
        values = 2 * u - 1
    elif len(shape) == 2:
        values = (2 * u - 1) * math.sqrt(3 / shape[1]) * (0.25 if name.endswith((".proj.weight", ".fc2.weight")) else 1)
    elif name.startswith(CLASSIFIER_BIASES) or name.endswith(LINEAR_BIASES):
        values = (2 * u - 1) * 0.1
    # In other networks that is a norm.
    elif name.endswith(CONVOLUTION_BIASES) or (name.startswith("stages.") and name.endswith("downsample.1.bias")):
        values = (2 * u - 1) * 0.2
    elif name.endswith(".weight"):
        values = (0.25 + 0.5 * u if training else 0.5 + u) * (0.25 if name.endswith(damped) else 1)
    elif name.endswith(".bias") and training:
        values = np.where(u < 0.25, -(2 + 2 * u), 2 + (u - 0.25) * (2 / 3))
    elif name.endswith(".running_var"):
        values = 0.5 + u
    elif name.endswith(".gamma"):
        values = 0.125 + 0.25 * u
    else:
        values = (2 * u - 1) * 0.2
    return torch.from_numpy(values.astype(np.float32))


def image(name, batch, side):
    u = uniform(name, batch * 3 * side * side).reshape(batch, 3, side, side)
    return torch.from_numpy((2 * u - 1).astype(np.float32))


def model(name, dtype, training):
    net = timm.create_model(name, pretrained=False, num_classes=CLASSES)
    state = {key: fill(key, tuple(value.shape), training) for key, value in net.state_dict().items() if not key.endswith("num_batches_tracked")}
    net.load_state_dict(state, strict=True)
    return net.to(dtype)


def norms(net):
    return [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]


def calibrate(net, dtype):
    for norm in norms(net):
        norm.momentum = 1.0
    net.train()
    with torch.no_grad():
        if norms(net):
            net(image("calibration", 4, 96).to(dtype))
    for norm in norms(net):
        norm.momentum = 0.1


def short(values):
    return [float(f"{value:.8g}") for value in values]


def forward(name, side, dtype):
    net = model(name, dtype, False)
    calibrate(net, dtype)
    net.eval()
    with torch.no_grad():
        features = net.forward_features(image("input", 2, side).to(dtype))
        pooled = net.forward_head(features, pre_logits=True)
        return features, pooled, net.get_classifier()(pooled)


def evaluate(names, golden):
    for name in names:
        side = EVAL[name]
        features, pooled, logits = forward(name, side, torch.float64)
        largest = pooled.abs().max()
        spread, apart = (pooled.std() / largest).item(), ((pooled[0] - pooled[1]).abs().max() / largest).item()
        rounding = ((forward(name, side, torch.float32)[1] - pooled).abs().max() / largest).item()
        print(f"{name} at {side}: largest {largest:.3g}, deviation {spread:.2g} and images apart {apart:.2g} of it, timm's f32 {rounding:.1e}")
        assert 1e-2 < largest < 1e3 and spread > 1e-2 and apart > 1e-2, f"{name}: the features are not worth comparing"
        assert rounding < 5e-5, f"{name}: timm's own rounding is {rounding}"
        golden[name] = {
            "side": side,
            "features_shape": list(features.shape),
            # A quarter of the features, spread over all channels, and the sums of all.
            "pooled": [short(row[::4].tolist()) for row in pooled],
            "pooled_sum": short(pooled.sum(1).tolist()),
            "logits": [short(row.tolist()) for row in logits],
        }
    return golden


def sample(count):
    """Up to 64 indices, spread evenly."""
    step = max(1, count // 64)
    return list(range(0, count, step))[:64]


def step(name, side, dtype, layout=torch.contiguous_format):
    net = model(name, dtype, True).to(memory_format=layout)
    net.train()
    labels = torch.tensor([(7 * b + 3) % CLASSES for b in range(4)])
    images = image("input", 4, side).to(dtype).to(memory_format=layout)
    loss = torch.nn.functional.cross_entropy(net(images), labels, label_smoothing=0.1)
    loss.backward()
    return net, loss.item(), {key: parameter.grad.double().flatten() for key, parameter in net.named_parameters()}


def entry(gradient):
    """The usual size of one of its entries."""
    return gradient.norm().item() / gradient.numel() ** 0.5


def train_step(name, side):
    net, loss, gradients = step(name, side, torch.float64)
    # In either order of memory timm adds in another order.
    rounded = [step(name, side, torch.float32, layout)[2] for layout in (torch.contiguous_format, torch.channels_last)]
    usual = sorted(entry(gradient) for gradient in gradients.values())[len(gradients) // 2]
    content = {}
    worst = (0, "")
    for key, gradient in gradients.items():
        # Some gradients are exactly zero (a shift that the next batch norm takes away): only their size is judged.
        zero = entry(gradient) < 1e-9 * usual
        scale = 100 * usual if zero else entry(gradient)
        worst = max(worst, *((entry(other[key] - gradient) / scale, key) for other in rounded))
        content[key] = {
            "norm": 0.0 if zero else float(f"{gradient.norm().item():.8g}"),
            "sum": 0.0 if zero else float(f"{gradient.sum().item():.8g}"),
            "samples": [] if zero else [float(f"{gradient[i].item():.6g}") for i in sample(gradient.numel())],
        }
    print(f"{name} at {side}: loss {loss:.6f}, zero gradients {sum(not c['samples'] for c in content.values())}, "
          f"worst rounding of a gradient in timm's f32 {worst[0]:.1e} of {worst[1]}")
    assert worst[0] < 6e-4, "timm's own rounding comes too near the tolerance"
    buffers = {key: short([value.double().norm().item(), value.double().sum().item()])
               for key, value in net.state_dict().items() if key.endswith(("running_mean", "running_var"))}
    return {"side": side, "loss": loss, "usual": usual, "gradients": content, "buffers": buffers}


def main():
    torch.set_num_threads(2)
    what = sys.argv[1:] or ["eval", *TRAIN]
    for item in what:
        path = HERE / ("eval.json" if item.startswith("eval") else f"train_{item}.json")
        if item == "eval":
            content = evaluate(EVAL, {})
        elif item.startswith("eval="):
            content = evaluate([item.removeprefix("eval=")], json.loads(path.read_text()))
        else:
            content = train_step(item, TRAIN[item])
        path.write_text(json.dumps(content, separators=(",", ":")).replace('},"', '},\n"') + "\n")
        print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
