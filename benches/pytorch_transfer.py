"""PyTorch's side of `make bench-transfer-learning`: the same recipe with timm, and scikit-learn on the same features for the probe.

One line of JSON on the standard input asks, one on the standard output answers:

    {"base": FOLDER, "data": FOLDER, "side": 96, "mode": "probe" | "full" | "lp-ft" | "gradual", "epochs": 10, "seed": 0, "task": "classes" | "values"}
    {"primary": top-1 or RMSE of the best epoch, "curve": [of each epoch], "seconds": of the whole job}
"""
import csv
import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torchvision import transforms

LR, HEAD_LR, BATCH, DECAY, WARMUP, CROP = 1e-3, 1e-2, 32, 5e-4, 0.05, 0.6


def items(folder, split, task):
    """(path, target) of a split, classes as numbers in the order of their names."""
    if task == "values":
        with open(folder / split / "metadata.csv") as table:
            return [(folder / split / row["file_name"], float(row["target"])) for row in csv.DictReader(table)]
    names = sorted(path.name for path in (folder / "train").iterdir() if path.is_dir())
    return [(path, names.index(path.parent.name)) for path in sorted((folder / split).glob("*/*")) if path.parent.name in names]


class Views(torch.utils.data.Dataset):
    def __init__(self, listed, transform):
        self.listed, self.transform = listed, transform

    def __len__(self):
        return len(self.listed)

    def __getitem__(self, at):
        path, target = self.listed[at]
        return self.transform(Image.open(path).convert("RGB")), target


def prepare(config, side):
    cfg = config.get("pretrained_cfg", {})
    way = {"bicubic": transforms.InterpolationMode.BICUBIC}.get(cfg.get("interpolation"), transforms.InterpolationMode.BILINEAR)
    to = [transforms.ToTensor(), transforms.Normalize(cfg.get("mean", [0.485, 0.456, 0.406]), cfg.get("std", [0.229, 0.224, 0.225]))]
    plain = transforms.Compose([transforms.Resize(math.floor(side / cfg.get("crop_pct", 0.875)), way), transforms.CenterCrop(side), *to])
    drawn = transforms.Compose([transforms.RandomResizedCrop(side, (CROP, 1), interpolation=way), transforms.RandomHorizontalFlip(), *to])
    return plain, drawn


def backbone(folder, config):
    model = timm.create_model(config["architecture"], num_classes=0)
    model.load_state_dict({k: v for k, v in load_file(folder / "model.safetensors").items() if not k.startswith("classifier")}, strict=True)
    return model


def features(model, listed, plain):
    model.eval()
    with torch.inference_mode():
        found = [model(x) for x, _ in torch.utils.data.DataLoader(Views(listed, plain), 32)]
    return torch.cat(found).numpy(), np.array([target for _, target in listed])


def solve(x, y, task):
    """The best head with its penalty by cross validation inside the training items, folded for features as they are."""
    if task == "values":
        head = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-6, 5, 23)))
    else:
        head = make_pipeline(StandardScaler(), LogisticRegressionCV(Cs=np.logspace(-5, 6, 12), cv=5, scoring="neg_log_loss", max_iter=200))
    return head.fit(x, y)


def probe(ask, config, train, val):
    model, (plain, _) = backbone(Path(ask["base"]), config), prepare(config, ask["side"])
    (x, y), (held, truth) = features(model, train, plain), features(model, val, plain)
    head = solve(x, y, ask["task"])
    return model, head, measure(torch.tensor(head.predict(held)), torch.tensor(truth), ask["task"])


def stages(model):
    """Modules from the input upwards, as the hub counts them: the stem, each group of blocks, what comes after them."""
    parts = [[model.conv_stem, model.bn1], *([block] for block in model.blocks), [model.conv_head, model.bn2]]
    counted = sum(parameter.numel() for part in parts for module in part for parameter in module.parameters())
    assert counted == sum(parameter.numel() for parameter in model.parameters()), "the network has parts that are in no stage"
    return parts


def phases(count, epochs):
    """How many of so many stages learn in each epoch: one more in each part of the epochs, from the top down."""
    steps = max(1, min(count, epochs))
    each = epochs // steps
    joined = [(step + 1) * count // steps for step in range(steps)]
    return [joined[min(epoch // each, steps - 1)] for epoch in range(epochs)]


def measure(answers, truth, task):
    if task == "values":
        return ((answers.double() - truth.double()) ** 2).mean().sqrt().item()
    return (answers == truth).double().mean().item()


def tune(ask, config, train, val):
    torch.manual_seed(ask["seed"])
    plain, drawn = prepare(config, ask["side"])
    targets = np.array([target for _, target in train], dtype=np.float64)
    centre, scale = (targets.mean(), targets.std()) if ask["task"] == "values" else (0.0, 1.0)
    outputs = 1 if ask["task"] == "values" else int(targets.max()) + 1
    if ask["mode"] in ("lp-ft", "gradual"):
        model, solved, _ = probe(ask, config, train, val)
        scaler, linear = solved[0], solved[-1]
        weight = np.atleast_2d(linear.coef_) / scaler.scale_
        bias = np.atleast_1d(linear.intercept_) - weight @ scaler.mean_
        if ask["task"] == "values":
            weight, bias = weight / scale, (bias - centre) / scale
        head = torch.nn.Linear(model.num_features, outputs)
        head.weight.data, head.bias.data = torch.tensor(weight, dtype=torch.float32), torch.tensor(bias, dtype=torch.float32)
    else:
        model = backbone(Path(ask["base"]), config)
        head = torch.nn.Linear(model.num_features, outputs)
        torch.nn.init.zeros_(head.bias)
    parts = stages(model) if ask["mode"] == "gradual" else [[model]]
    # From a hundredth of the rate at the bottom to the whole at the top.
    rates = [LR * 100 ** (-(len(parts) - 1 - at) / max(len(parts) - 1, 1)) for at in range(len(parts))]
    head_rate = HEAD_LR * (min(32 / model.num_features, 1) if ask["task"] == "values" else 1)
    groups = [
        {"params": [p for module in part for p in module.parameters() if (p.ndim > 1) == decays], "lr": lr, "weight_decay": DECAY if decays else 0.0}
        for part, lr in (*zip(parts, rates), ([head], head_rate))
        for decays in (True, False)
    ]
    learning = phases(len(parts), ask["epochs"])
    optimizer = torch.optim.SGD(groups, momentum=0.9, nesterov=True)
    loader = torch.utils.data.DataLoader(Views(train, drawn), BATCH, shuffle=True, drop_last=len(train) % BATCH == 1)
    total = len(loader) * ask["epochs"]
    warm = round(total * WARMUP)
    factor = lambda step: (step + 1) / (warm + 1) if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / max(total - warm, 1)))  # noqa: E731
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    curve = []
    for epoch in range(ask["epochs"]):
        model.train()
        for part in parts[: len(parts) - learning[epoch]]:
            for module in part:
                # Frozen: no gradients, and its running statistics stay.
                module.eval()
                module.requires_grad_(False)
        for part in parts[len(parts) - learning[epoch]:]:
            for module in part:
                module.requires_grad_(True)
        for x, y in loader:
            answer = head(model(x))
            wanted = ((y - centre) / scale).float() if ask["task"] == "values" else y
            loss = torch.nn.functional.mse_loss(answer[:, 0], wanted) if ask["task"] == "values" else torch.nn.functional.cross_entropy(answer, wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        model.eval()
        with torch.inference_mode():
            pairs = [(head(model(x)), y) for x, y in torch.utils.data.DataLoader(Views(val, plain), 32)]
        answers, truth = torch.cat([a for a, _ in pairs]), torch.cat([y for _, y in pairs])
        answers = answers[:, 0] * scale + centre if ask["task"] == "values" else answers.argmax(1)
        curve.append(measure(answers, truth, ask["task"]))
    return curve


def main():
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    for line in sys.stdin:
        ask, began = json.loads(line), time.perf_counter()
        config = json.loads((Path(ask["base"]) / "config.json").read_text())
        train, val = (items(Path(ask["data"]), split, ask["task"]) for split in ("train", "val"))
        curve = [probe(ask, config, train, val)[2]] if ask["mode"] == "probe" else tune(ask, config, train, val)
        best = min(curve) if ask["task"] == "values" else max(curve)
        print(json.dumps({"primary": best, "curve": curve, "seconds": time.perf_counter() - began}), flush=True)


if __name__ == "__main__":
    main()
