#!/usr/bin/env python3
"""Writes tests/golden/video.json: what networks of clips answer with weights that both sides make by one formula (tests/nn/video.rs), and the
gradients of a training step.

    pip install torch torchvision numpy
    pip install --no-deps pytorchvideo fvcore iopath        # for slow_r50, i3d_r50 and x3d_s
    python tests/golden/make_video.py [NAME ...]

r3d_18, mc3_18, r2plus1d_18 and s3d are torchvision's, slow_r50, i3d_r50 and x3d_s pytorchvideo's. I3D is written below from its paper and from
what its common PyTorch version (piergiaj/pytorch-i3d) calls its tensors: Inception-v1 with cubes, padded as TensorFlow does.

Values come from `uniform` of make.py (without timm, so it stands here again), u in [0, 1):

    kernels (O, I, ...)          (2u - 1) * sqrt(6 / fan-in)
    classifier's weight, bias    (2u - 1) * sqrt(3 / I), (2u - 1) * 0.1
    norm weight                  0.25 + u / 2; a quarter of that for the last norm of a residual block
    norm bias                    -(1.25 + 2u) for u < 1/4, else 1.25 + (u - 1/4) * 2 / 3: few values lie where an activation bends
    biases within squeezes       (2u - 1) * 0.2
    clips (B, 3, T, H, W)        2u - 1, names "calibration" (4 of them) and "input" (2)

Running statistics are those of one pass in train mode with momentum 1 over the calibration clips; the other side makes the same pass. All of
it is computed in f64. Labels are (7 b + 3) % classes.
"""
import json
import math
import pathlib
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

HERE = pathlib.Path(__file__).parent
CLASSES = 5
M64 = (1 << 64) - 1
# Frames and side of the clips.
SIZES = {
    "r3d_18": (8, 48), "mc3_18": (3, 48), "r2plus1d_18": (5, 49), "s3d": (24, 97), "i3d": (17, 97),
    "slow_r50": (3, 48), "i3d_r50": (4, 48), "x3d_s": (4, 96),
}
SAMPLES = 8


def uniform(name, count):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & M64
    with np.errstate(over="ignore"):
        z = np.uint64(h) + np.arange(count, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def same(x, kernel, stride, value=0.0):
    pads = []
    for side, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride)):
        total = max((math.ceil(side / s) - 1) * s + k - side, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


class Unit3D(nn.Module):
    def __init__(self, inputs, outputs, kernel=1, stride=1):
        super().__init__()
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3
        self.conv3d = nn.Conv3d(inputs, outputs, self.kernel, self.stride, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=1e-3, momentum=0.01)

    def forward(self, x):
        return F.relu(self.bn(self.conv3d(same(x, self.kernel, self.stride))))


class Pool(nn.Module):
    def __init__(self, kernel, stride):
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x):
        return F.max_pool3d(same(x, self.kernel, self.stride, -math.inf), self.kernel, self.stride)


class Mixed(nn.Module):
    def __init__(self, inputs, single, first, second, pooled):
        super().__init__()
        self.b0 = Unit3D(inputs, single)
        self.b1a, self.b1b = Unit3D(inputs, first[0]), Unit3D(first[0], first[1], 3)
        self.b2a, self.b2b = Unit3D(inputs, second[0]), Unit3D(second[0], second[1], 3)
        self.b3a, self.b3b = Pool((3, 3, 3), (1, 1, 1)), Unit3D(inputs, pooled)

    def forward(self, x):
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))], 1)


class Logits(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv3d = nn.Conv3d(1024, classes, 1)

    def forward(self, x):
        return self.conv3d(x)


class I3D(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.Conv3d_1a_7x7, self.pool2 = Unit3D(3, 64, 7, 2), Pool((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1, self.Conv3d_2c_3x3, self.pool3 = Unit3D(64, 64), Unit3D(64, 192, 3), Pool((1, 3, 3), (1, 2, 2))
        self.Mixed_3b, self.Mixed_3c = Mixed(192, 64, (96, 128), (16, 32), 32), Mixed(256, 128, (128, 192), (32, 96), 64)
        self.pool4 = Pool((3, 3, 3), (2, 2, 2))
        self.Mixed_4b, self.Mixed_4c = Mixed(480, 192, (96, 208), (16, 48), 64), Mixed(512, 160, (112, 224), (24, 64), 64)
        self.Mixed_4d, self.Mixed_4e = Mixed(512, 128, (128, 256), (24, 64), 64), Mixed(512, 112, (144, 288), (32, 64), 64)
        self.Mixed_4f, self.pool5 = Mixed(528, 256, (160, 320), (32, 128), 128), Pool((2, 2, 2), (2, 2, 2))
        self.Mixed_5b, self.Mixed_5c = Mixed(832, 256, (160, 320), (32, 128), 128), Mixed(832, 384, (192, 384), (48, 128), 128)
        self.logits = Logits(classes)

    def forward(self, x):
        for name, module in self.named_children():
            if name == "logits":
                # Where the map is smaller than 2x7x7 the window is as large as it is.
                x = F.avg_pool3d(x, tuple(min(a, b) for a, b in zip((2, 7, 7), x.shape[2:])), stride=1)
            x = module(x)
        return x.mean((2, 3, 4))


def s3d():
    from torchvision.models.video import s3d as make

    network = make(num_classes=CLASSES, dropout=0.0)
    pool = network.avgpool
    network.avgpool = nn.Identity()
    network.avgpool.forward = lambda x: F.avg_pool3d(x, tuple(min(a, b) for a, b in zip(pool.kernel_size, x.shape[2:])), stride=1)
    return network


def pytorchvideo(name):
    from pytorchvideo.models import resnet, x3d

    if name == "x3d_s":
        network = x3d.create_x3d(input_clip_length=13, input_crop_size=160, model_num_class=CLASSES, dropout_rate=0.0, head_activation=None)
    elif name == "slow_r50":
        network = resnet.create_resnet(
            model_depth=50, model_num_class=CLASSES, dropout_rate=0.0, stem_conv_kernel_size=(1, 7, 7),
            stage_conv_a_kernel_size=((1, 1, 1), (1, 1, 1), (3, 1, 1), (3, 1, 1)), head_pool_kernel_size=(8, 7, 7))
    else:
        network = resnet.create_resnet(
            model_depth=50, model_num_class=CLASSES, dropout_rate=0.0, stem_conv_kernel_size=(5, 7, 7), stage1_pool=nn.MaxPool3d,
            stage_conv_a_kernel_size=((3, 1, 1), [(3, 1, 1), (1, 1, 1)], [(3, 1, 1), (1, 1, 1)], [(1, 1, 1), (3, 1, 1)]),
            head_pool_kernel_size=(4, 7, 7))
    head = network.blocks[-1]
    pool = head.pool.pool if name == "x3d_s" else head.pool
    window = pool.kernel_size
    if name == "x3d_s":
        pool.forward = lambda x: x.mean((2, 3, 4), keepdim=True)
    else:
        pool.forward = lambda x: F.avg_pool3d(x, tuple(min(a, b) for a, b in zip(window, x.shape[2:])), stride=1)
    # Logits, whether it trains or not.
    head.activation = None
    return network


def build(name):
    if name == "i3d":
        return I3D(CLASSES)
    if name == "s3d":
        return s3d()
    if name in ("slow_r50", "i3d_r50", "x3d_s"):
        return pytorchvideo(name)
    import torchvision.models.video as models

    return getattr(models, name)(num_classes=CLASSES)


# The classifier of each, and the last norm of a residual block.
CLASSIFIERS = ("fc.", "classifier.1.", "logits.conv3d.", "blocks.5.proj.", "blocks.6.proj.")
LAST = (".conv2.1.weight", ".norm_c.weight")


def fill(name, shape):
    u = uniform(name, math.prod(shape)).reshape(shape)
    if name.startswith(CLASSIFIERS):
        values = (2 * u - 1) * (math.sqrt(3 / shape[1]) if len(shape) > 1 else 0.1)
    elif len(shape) > 1:
        values = (2 * u - 1) * math.sqrt(6 / math.prod(shape[1:]))
    elif ".block." in name:
        values = (2 * u - 1) * 0.2
    elif name.endswith(".weight"):
        values = (0.25 + u / 2) * (0.25 if name.endswith(LAST) else 1.0)
    elif name.endswith(".bias"):
        values = np.where(u < 0.25, -(1.25 + 2 * u), 1.25 + (u - 0.25) * (2 / 3))
    else:
        return None
    return torch.from_numpy(values.astype(np.float32).astype(np.float64))


def clip(name, batch, size):
    frames, side = size
    values = 2 * uniform(name, batch * 3 * frames * side * side) - 1
    return torch.from_numpy(values.astype(np.float32).astype(np.float64)).reshape(batch, 3, frames, side, side)


def rounded(values):
    return [float(f"{value:.9g}") for value in values]


def golden(name):
    torch.manual_seed(0)
    network, size = build(name).double(), SIZES[name]
    for key, tensor in network.state_dict().items():
        values = fill(key, tuple(tensor.shape))
        if values is not None and tensor.dtype.is_floating_point and "running" not in key:
            tensor.copy_(values)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
    for norm in norms:
        norm.momentum = 1.0
    network.train()
    with torch.no_grad():
        network(clip("calibration", 4, size))
        network.eval()
        logits = network(clip("input", 2, size))
        single = build(name)
        single.load_state_dict({key: value.float() if value.dtype.is_floating_point else value for key, value in network.state_dict().items()})
        apart = (single.eval()(clip("input", 2, size).float()).double() - logits).abs().max() / logits.abs().max()
    network.train()
    labels = torch.tensor([(7 * item + 3) % CLASSES for item in range(2)])
    answers = network(clip("input", 2, size))
    loss = F.cross_entropy(answers, labels)
    loss.backward()
    gradients = {}
    for key, parameter in network.named_parameters():
        flat = parameter.grad.flatten()
        step = max(len(flat) // SAMPLES, 1)
        gradients[key] = {"largest": float(f"{flat.abs().max():.9g}"), "norm": float(f"{flat.norm():.9g}"),
                          "samples": rounded(flat[::step][:SAMPLES].tolist())}
    single.zero_grad()
    for module in single.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = 0.0
    F.cross_entropy(single.train()(clip("input", 2, size).float()), labels).backward()
    own = {key: parameter.grad.double() for key, parameter in single.named_parameters()}
    # What the next norm takes away again has a gradient that is nothing but what sums leave that cancel.
    floor = 1e-2 * max(parameter.grad.abs().max() for parameter in network.parameters())
    worst = max(((own[key] - p.grad).abs().max() / max(p.grad.abs().max(), floor), key) for key, p in network.named_parameters())
    spread = float(logits.std() / logits.abs().mean())
    print(f"{name}: f32 is {apart:.1e} away, logits spread {spread:.2f}, loss {loss:.4f}, f32 gradients {worst[0]:.1e} away ({worst[1]})", flush=True)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {"frames": size[0], "side": size[1], "parameters": parameters, "logits": rounded(logits.flatten().tolist()),
            "train_logits": rounded(answers.flatten().tolist()), "loss": float(f"{loss.item():.9g}"), "gradients": gradients}


def main():
    torch.set_num_threads(1)
    path = HERE / "video.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    for name in sys.argv[1:] or SIZES:
        found[name] = golden(name)
    path.write_text("{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(found[name], separators=(',', ':'))}" for name in sorted(found)) + "\n}\n")


if __name__ == "__main__":
    main()
