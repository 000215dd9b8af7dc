"""Writes tests/golden/torchvision.json: names and shapes of torchvision's networks, and what they answer with weights that both sides
make by one formula. tests/import.rs imports the same weights by torchvision's names and compares. Of networks that are too large for
that, torchvision_names.json holds names and shapes alone, for src/import/matching_tests.rs.

    python tests/golden/make_torchvision.py

Values of a tensor come from `uniform` of make.py; how they are spread is said in `fill`.
"""
import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import torch
import torchvision.models as models
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.vision_transformer import VisionTransformer

HERE = Path(__file__).parent
spec = importlib.util.spec_from_file_location("make", HERE / "make.py")
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)
CLASSES = 5
NETWORKS = {
    "resnet18": (models.resnet18, 64),
    "resnext50_32x4d": (models.resnext50_32x4d, 64),
    "mobilenetv2_100": (models.mobilenet_v2, 64),
    "mobilenetv3_small_100": (models.mobilenet_v3_small, 64),
    "mobilenetv3_large_100": (models.mobilenet_v3_large, 64),
    "efficientnet_b0": (models.efficientnet_b0, 64),
    "vit_tiny_patch16_224": (lambda num_classes: VisionTransformer(224, 16, 12, 3, 192, 768, num_classes=num_classes), 224),
    "convnext_atto": (
        lambda num_classes: ConvNeXt([CNBlockConfig(40, 80, 2), CNBlockConfig(80, 160, 2), CNBlockConfig(160, 320, 6), CNBlockConfig(320, None, 2)], num_classes=num_classes),
        64,
    ),
}
LARGE = {
    "vgg11_bn": models.vgg11_bn, "vgg16": models.vgg16, "densenet121": models.densenet121,
    "inception_v3": lambda num_classes: models.inception_v3(num_classes=num_classes, init_weights=False),
    "vit_base_patch16_224": models.vit_b_16, "vit_base_patch32_224": models.vit_b_32, "vit_large_patch16_224": models.vit_l_16,
}


def fill(name, shape):
    u = make.uniform(name, math.prod(shape)).reshape(shape)
    if name.endswith("running_var"):
        return 0.05 + 0.1 * u  # small, so that the epsilon beside it counts
    if len(shape) == 1 and name.endswith("weight"):
        return 0.2 + 0.2 * u
    if len(shape) >= 2 and name.endswith("weight"):
        return (2 * u - 1) * math.sqrt(3 / math.prod(shape[1:]))
    return (2 * u - 1) * 0.2


written = {}
for architecture, (network, side) in NETWORKS.items():
    net = network(num_classes=CLASSES).eval()
    state = {name: tensor for name, tensor in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    filled = {name: torch.from_numpy(np.float32(fill(name, tuple(tensor.shape)))) for name, tensor in state.items()}
    assert not net.load_state_dict(filled, strict=False).unexpected_keys
    image = torch.from_numpy(np.float32(2 * make.uniform("input", 3 * side * side).reshape(1, 3, side, side) - 1))
    with torch.no_grad():
        logits = net.double()(image.double())[0]
    print(architecture, logits.tolist())
    written[architecture] = {"side": side, "logits": logits.tolist(), "tensors": {name: list(tensor.shape) for name, tensor in state.items()}}
with torch.device("meta"):
    large = {name: network(num_classes=CLASSES).state_dict() for name, network in LARGE.items()}
names = {name: {key: list(tensor.shape) for key, tensor in state.items() if not key.endswith("num_batches_tracked")} for name, state in large.items()}
(HERE / "torchvision_names.json").write_text(json.dumps(names, separators=(",", ":")).replace("},", "},\n") + "\n")
(HERE / "torchvision.json").write_text(json.dumps(written, separators=(",", ":")) + "\n")
