"""The hub's decoders of masks (`src/nn/heads/dense/`) in PyTorch: the same layers and widths over timm's maps at strides 4 to 32."""
import torch
from torch import nn
from torch.nn import functional

CLASSES = 2


def conv_norm(width, made, kernel, rate=1, groups=1):
    conv = nn.Conv2d(width, made, kernel, padding=rate * (kernel // 2), dilation=rate, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(made), nn.ReLU(inplace=True))


def separable(width, made, rate=1):
    return nn.Sequential(conv_norm(width, width, 3, rate, groups=width), conv_norm(width, made, 1))


def to(x, like):
    return functional.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


class LrAspp(nn.Module):
    def __init__(self, widths):
        super().__init__()
        self.inside = conv_norm(widths[2], 128, 1)
        self.gate = nn.Conv2d(widths[2], 128, 1, bias=False)
        self.beside = nn.Conv2d(widths[1], 128, 1)
        self.last = nn.Conv2d(128, CLASSES, 1)

    def forward(self, maps):
        _, fine, coarse, _ = maps
        opened = self.inside(coarse) * torch.sigmoid(self.gate(functional.adaptive_avg_pool2d(coarse, 1)))
        return self.last(to(opened, fine) + self.beside(fine))


class DeepLab(nn.Module):
    def __init__(self, widths):
        super().__init__()
        self.near = conv_norm(widths[2], 128, 1)
        self.apart = nn.ModuleList(separable(widths[2], 128, rate) for rate in (6, 12, 18))
        self.whole = nn.Conv2d(widths[2], 128, 1)
        self.joined = conv_norm(5 * 128, 128, 1)
        self.fine = conv_norm(widths[0], 48, 1)
        self.after = nn.Sequential(separable(176, 128), separable(128, 128))
        self.last = nn.Conv2d(128, CLASSES, 1)

    def forward(self, maps):
        coarse = maps[2]
        whole = functional.relu(self.whole(functional.adaptive_avg_pool2d(coarse, 1)))
        pyramid = [self.near(coarse), *(layer(coarse) for layer in self.apart), whole.expand(-1, -1, *coarse.shape[2:])]
        x = torch.cat([to(self.joined(torch.cat(pyramid, 1)), maps[0]), self.fine(maps[0])], 1)
        return self.last(self.after(x))


class UNet(nn.Module):
    def __init__(self, widths):
        super().__init__()
        width, steps = widths[3], []
        for at, made in ((2, 128), (1, 96), (0, 64)):
            steps.append(nn.Sequential(conv_norm(width + widths[at], made, 3), conv_norm(made, made, 3)))
            width = made
        self.steps = nn.ModuleList(steps)
        self.last = nn.Conv2d(width, CLASSES, 1)

    def forward(self, maps):
        x = maps[3]
        for step, beside in zip(self.steps, (maps[2], maps[1], maps[0])):
            x = step(torch.cat([to(x, beside), beside], 1))
        return self.last(x)


class Fpn(nn.Module):
    def __init__(self, widths):
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(width, 64, 1) for width in widths)
        self.smooths = nn.ModuleList(nn.Conv2d(64, 64, 3, padding=1) for _ in widths)
        self.layers = nn.ModuleList(conv_norm(64, 64, 3) for _ in widths)
        self.last = nn.Conv2d(64, CLASSES, 1)

    def forward(self, maps):
        sums = []
        for x, lateral in zip(reversed(maps), reversed(self.laterals)):
            own = lateral(x)
            sums.append(own if not sums else own + functional.interpolate(sums[-1], size=own.shape[2:], mode="nearest"))
        levels = [layer(smooth(x)) for x, smooth, layer in zip(reversed(sums), self.smooths, self.layers)]
        return self.last(levels[0] + sum(to(level, levels[0]) for level in levels[1:]))


DECODERS = {"lr-aspp": LrAspp, "deeplabv3+": DeepLab, "unet": UNet, "fpn": Fpn}


class Decoding(nn.Module):
    """Maps and a decoder over them: classes of the cells of a grid of 4 x 4 pixels."""

    def __init__(self, backbone, decoder):
        super().__init__()
        self.backbone, self.decoder = backbone, DECODERS[decoder](backbone.feature_info.channels())

    def forward(self, images):
        x = self.decoder(self.backbone(images))
        return functional.interpolate(x, size=[side // 4 for side in images.shape[2:]], mode="bilinear", align_corners=False)


def loss(logits, masks):
    """Cross entropy and Dice of all pixels."""
    logits = functional.interpolate(logits, size=masks.shape[1:], mode="bilinear", align_corners=False)
    chances, truth = logits.softmax(1), functional.one_hot(masks, CLASSES).permute(0, 3, 1, 2)
    both, said, there = ((chances * truth).sum((0, 2, 3)), chances.sum((0, 2, 3)), truth.sum((0, 2, 3)))
    return functional.cross_entropy(logits, masks) + 1 - ((2 * both + 1) / (said + there + 1)).mean()
