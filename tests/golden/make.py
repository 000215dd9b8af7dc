#!/usr/bin/env python3
"""Writes the golden numbers of `tests/nn.rs`: what timm computes from weights that both sides make by one formula.

    pip install torch timm torchvision numpy
    python tests/golden/make.py            # writes eval.json, shapes.json and train_*.json beside this file
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
    norm weight                  0.5 + u, and a quarter of that for a block's bn2, bn3 and conv3.bn
    norm bias                    (2u - 1) * 0.2
    norm running_mean            (2u - 1) * 0.2
    norm running_var             0.5 + u
    input image (B, 3, H, W)     2u - 1, name "input"

rounded to f32; from there timm computes in f64, so that the goldens are the truth and not another rounding of it.
Labels are (7 * b + 3) % classes.

Running statistics that do not describe the activations would let them blow up or die with depth. Each is therefore
first set by one pass in train mode with momentum 1 over a calibration input (name "calibration", batch 4, 96 px,
or more where maps would shrink to a single pixel before the end, whose few values describe nothing);
the Rust side does the same pass itself. The pooled features then have a healthy spread (checked below). Damped
branches (the quarter above) keep a deep random network from amplifying rounding errors, as trained ones do: timm's
own f32 results must lie well within the tolerance of the truth (also checked below), or the comparison would be one
of luck.
"""
import hashlib
import json
import math
import pathlib
import sys

import numpy as np
import timm
import torch
import torchvision

HERE = pathlib.Path(__file__).parent
CLASSES = 10
M64 = (1 << 64) - 1

# Every architecture and the image side at which it is compared: the native one where that is quick.
EVAL = {
    "tf_efficientnet_lite0": 224, "tf_efficientnet_lite1": 240, "tf_efficientnet_lite2": 160,
    "tf_efficientnet_lite3": 140, "tf_efficientnet_lite4": 135,
    "efficientnet_lite0": 224, "efficientnet_lite1": 111, "efficientnet_lite2": 128,
    "efficientnet_lite3": 96, "efficientnet_lite4": 97,
    "mobilenetv2_100": 224, "mobilenetv2_140": 160, "mobilenetv2_050": 97, "mobilenetv2_110d": 96,
    "mobilenetv3_small_050": 128, "mobilenetv3_small_075": 97, "mobilenetv3_small_100": 224, "mobilenetv3_large_100": 160,
    "efficientnet_b0": 128, "efficientnet_b1": 96, "efficientnet_b2": 97, "efficientnet_b3": 96, "efficientnet_b4": 96,
    "tf_efficientnet_b0": 97, "tf_efficientnet_b1": 96, "tf_efficientnet_b2": 96, "tf_efficientnet_b3": 97, "tf_efficientnet_b4": 96,
    "efficientnetv2_s": 96, "tf_efficientnetv2_s": 97,
    "resnet18": 224, "resnet34": 160, "resnet50": 224, "resnet101": 129, "resnet152": 128,
    "resnext50_32x4d": 130, "resnext101_32x4d": 96, "wide_resnet50_2": 97,
    "resnet10t": 97, "resnet14t": 96, "resnet18d": 129, "resnet26": 96, "resnet26d": 97, "resnet26t": 96, "resnet34d": 97, "resnet50d": 97,
    "resnet50t": 96, "resnet101d": 96, "resnext50d_32x4d": 97, "seresnet50t": 97,
    "seresnet18": 129, "seresnet34": 96, "seresnet50": 97, "seresnet101": 96, "seresnext50_32x4d": 96,
    "regnetx_002": 224, "regnetx_004": 97, "regnetx_006": 96, "regnetx_008": 97, "regnetx_016": 96, "regnetx_032": 96, "regnetx_080": 97,
    "regnety_002": 160, "regnety_004": 97, "regnety_006": 96, "regnety_008": 97, "regnety_016": 96, "regnety_032": 97,
    "vit_tiny_patch16_224": 224, "vit_small_patch16_224": 224, "deit_tiny_patch16_224": 224, "deit_small_patch16_224": 224,
    "vit_small_patch32_224": 224, "vit_small_patch14_dinov2": 518, "vit_base_patch32_clip_224": 224,
    "vit_base_patch32_clip_quickgelu_224": 64, "vit_small_patch14_reg4_dinov2": 126, "vit_base_patch16_siglip_224": 96,
    "deit3_small_patch16_224": 96, "vit_small_patch8_224": 64,
    "swin_tiny_patch4_window7_224": 224,
    "convnext_atto": 150, "convnext_femto": 96, "convnext_pico": 97, "convnext_nano": 96, "convnext_tiny": 97,
    "convnextv2_atto": 150, "convnextv2_femto": 96, "convnextv2_pico": 97, "convnextv2_nano": 96, "convnextv2_tiny": 97,
    "mobilenetv4_conv_small": 224, "mobilenetv4_conv_medium": 64, "mobilenetv4_conv_large": 66,
    "densenet121": 97, "densenet161": 96, "densenet169": 97, "densenet201": 96, "inception_v3": 128,
    "vgg11": 224, "vgg16_bn": 96, "squeezenet1_0": 97, "squeezenet1_1": 98,
}
# Larger members of the same families: their tensors are compared by name and shape alone.
LARGE = [
    "resnext101_32x8d", "resnext101_64x4d", "wide_resnet101_2", "seresnet152", "seresnext101_32x4d",
    "resnet152d", "resnet200d", "seresnet152d",
    "regnetx_040", "regnetx_064", "regnetx_120", "regnetx_160", "regnetx_320",
    "regnety_040", "regnety_064", "regnety_080", "regnety_120", "regnety_160", "regnety_320",
    "vit_base_patch32_224", "vit_base_patch16_224", "vit_base_patch8_224", "deit_base_patch16_224", "vit_base_patch14_dinov2",
    "vit_base_patch16_clip_224", "vit_base_patch14_reg4_dinov2", "vit_base_patch16_siglip_256", "vit_base_patch16_siglip_384",
    "vit_base_patch16_siglip_512", "vit_large_patch16_224", "vit_tiny_patch16_384", "vit_small_patch16_384", "vit_base_patch32_384",
    "vit_base_patch16_384", "vit_large_patch16_384", "deit_base_patch16_384", "deit3_medium_patch16_224", "deit3_base_patch16_224",
    "deit3_large_patch16_224", "vit_large_patch14_dinov2", "vit_large_patch14_reg4_dinov2", "vit_large_patch16_siglip_256",
    "vit_large_patch16_siglip_384", "vit_so400m_patch14_siglip_224", "vit_so400m_patch14_siglip_378", "vit_large_patch14_clip_224",
    "vit_base_patch16_clip_quickgelu_224", "vit_large_patch14_clip_quickgelu_224",
    "swin_large_patch4_window7_224", "swin_base_patch4_window12_384", "swin_large_patch4_window12_384",
    "mobilenetv2_120d", "tf_efficientnet_b5", "tf_efficientnet_b6", "tf_efficientnet_b7", "tf_efficientnetv2_m", "tf_efficientnetv2_l",
    "swin_small_patch4_window7_224", "swin_base_patch4_window7_224", "convnext_small", "convnext_base",
    "convnextv2_small", "convnextv2_base", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg19_bn",
]
# Networks made for one side and then given images of another: their positions are interpolated.
RESIZED = [("vit_small_patch14_dinov2", 224), ("vit_small_patch14_reg4_dinov2", 224), ("vit_tiny_patch16_224", 272),
           ("vit_base_patch16_siglip_224", 64)]
TRAIN = {
    "tf_efficientnet_lite0": 96, "mobilenetv2_100": 72, "mobilenetv3_small_100": 96, "mobilenetv3_large_100": 64,
    "efficientnet_b0": 64, "resnet18": 64, "resnet50": 80, "resnext50_32x4d": 64, "vit_tiny_patch16_224": 224,
    "convnext_atto": 68, "seresnet18": 64, "regnety_002": 64, "convnext_tiny": 68, "vit_base_patch32_clip_224": 224, "vit_base_patch32_clip_quickgelu_224": 224,
    "vit_small_patch14_dinov2": 518, "vit_small_patch14_reg4_dinov2": 70, "vit_base_patch16_siglip_224": 64,
    "swin_tiny_patch4_window7_224": 224, "resnet18d": 68,
    "convnextv2_atto": 68, "mobilenetv4_conv_small": 64, "densenet121": 64, "inception_v3": 107, "vgg11_bn": 70, "squeezenet1_1": 68,
}
CALIBRATION = {"inception_v3": 192}
CLASSIFIER_BIASES = ("fc.", "classifier.", "head.fc.", "head.bias")
LINEAR_BIASES = (".qkv.bias", "attn.proj.bias", ".fc1.bias", ".fc2.bias", "attn_pool.q.bias", "attn_pool.kv.bias", "attn_pool.proj.bias")
CONVOLUTION_BIASES = ("conv_reduce.bias", "conv_expand.bias", "conv_head.bias", "patch_embed.proj.bias", "stem.0.bias", "conv_dw.bias")
# Shifts that the next norm takes away but for what an activation cuts: where nothing but such norms follow each other, it must cut something.
CHAINED = ("features.dense", "features.transition", "features.norm", "Conv2d_", "Mixed_")


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
    damped = ".bn3.weight" if training else (".bn2.weight", ".bn3.weight", ".conv3.bn.weight")
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
    # Tokens that a shift makes alike leave nothing but rounding of what attention learns within a window.
    elif name.endswith(".bias") and training and not (name.startswith("layers.") and name.endswith(".norm1.bias")):
        edge = 1.25 if name.startswith(CHAINED) else 2
        values = np.where(u < 0.25, -(edge + 2 * u), edge + (u - 0.25) * (2 / 3))
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


class Squeezed(torch.nn.Module):
    """torchvision's SqueezeNet up to its last maps, then a linear layer over their mean; timm has no SqueezeNet."""

    def __init__(self, name):
        super().__init__()
        self.features = getattr(torchvision.models, name)(num_classes=CLASSES).features
        self.classifier = torch.nn.Linear(512, CLASSES)

    def forward_features(self, x):
        return self.features(x)

    def forward_head(self, x, pre_logits=False):
        return x.mean((2, 3)) if pre_logits else self.classifier(x.mean((2, 3)))

    def get_classifier(self):
        return self.classifier

    def forward(self, x):
        return self.forward_head(self.features(x))


def create(name, **more):
    return Squeezed(name) if name.startswith("squeezenet") else timm.create_model(name, pretrained=False, num_classes=CLASSES, **more)


def model(name, dtype, training, side=None):
    # Of networks that have learnt the positions of patches, one for images of that side.
    more = {"img_size": side} if side and name.startswith(("vit_", "deit_", "deit3_")) else {}
    # Drops branches at random unless told not to.
    more |= {"drop_path_rate": 0.0} if name.startswith("swin_") else {}
    net = create(name, **more)
    state = {key: fill(key, tuple(value.shape), training) for key, value in net.state_dict().items() if not key.endswith("num_batches_tracked")}
    net.load_state_dict(state, strict=True)
    return net.to(dtype)


def norms(net):
    return [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]


def calibrate(net, dtype, side):
    for norm in norms(net):
        norm.momentum = 1.0
    net.train()
    with torch.no_grad():
        if norms(net):
            net(image("calibration", 4, side).to(dtype))
    for norm in norms(net):
        norm.momentum = 0.1


def short(values):
    return [float(f"{value:.8g}") for value in values]


def forward(name, side, dtype, resized=False):
    net = model(name, dtype, False, None if resized else side)
    if resized:
        net.set_input_size((side, side))
    calibrate(net, dtype, CALIBRATION.get(name, 96))
    net.eval()
    with torch.no_grad():
        features = net.forward_features(image("input", 2, side).to(dtype))
        pooled = net.forward_head(features, pre_logits=True)
        # Maps in the order in which PyTorch has them everywhere else.
        shown = features.permute(0, 3, 1, 2) if getattr(net, "output_fmt", "") == "NHWC" else features
        return shown, pooled, net.get_classifier()(pooled)


def evaluate(names, golden):
    """Of each name what it answers; after an @ stands the side of the images that it was not made for."""
    for name in names:
        architecture, _, resized = name.partition("@")
        side, resized = int(resized or EVAL[architecture]), bool(resized)
        features, pooled, logits = forward(architecture, side, torch.float64, resized)
        largest = pooled.abs().max()
        spread, apart = (pooled.std() / largest).item(), ((pooled[0] - pooled[1]).abs().max() / largest).item()
        rounding = ((forward(architecture, side, torch.float32, resized)[1] - pooled).abs().max() / largest).item()
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


def shapes():
    """Of every architecture the sha256 of its tensors, a line `name outputs,inputs,...` each, in the order of their names."""
    found = {}
    for name in [*EVAL, *LARGE]:
        with torch.device("meta"):
            state = create(name).state_dict()
        lines = sorted(f"{key} {','.join(map(str, value.shape))}\n" for key, value in state.items() if not key.endswith("num_batches_tracked"))
        found[name] = hashlib.sha256("".join(lines).encode()).hexdigest()
    return found


def sample(count):
    """Up to 64 indices, spread evenly."""
    step = max(1, count // 64)
    return list(range(0, count, step))[:64]


def step(name, side, dtype, layout=torch.contiguous_format):
    net = model(name, dtype, True, side).to(memory_format=layout)
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
    what = sys.argv[1:] or ["eval", "shapes", *TRAIN]
    for item in what:
        path = HERE / ("eval.json" if item.startswith("eval") else "shapes.json" if item == "shapes" else f"train_{item}.json")
        if item == "eval":
            content = evaluate([*EVAL, *(f"{name}@{side}" for name, side in RESIZED)], {})
        elif item == "shapes":
            content = shapes()
        elif item.startswith("eval="):
            content = evaluate([item.removeprefix("eval=")], json.loads(path.read_text()))
        else:
            content = train_step(item, TRAIN[item])
        path.write_text(json.dumps(content, separators=(",", ":")).replace('},"', '},\n"') + "\n")
        print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
