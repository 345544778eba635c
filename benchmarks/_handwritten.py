"""Networks of kinds that no other file here has: concatenation, squeeze and excitation, grouped convolutions."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_bn(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


class Dense(nn.Module):
    """Appends what it makes to what it reads (Huang et al., CVPR 2017)."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(F.relu(self.norm(x)))], 1)


class Residual(nn.Module):
    """Adds what its body makes to its input."""

    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


class Excite(nn.Module):
    """Weighs channels by what is in the whole image (Hu et al., CVPR 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, channels // 4, 1), nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.up(F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))))


def _classifier(inputs: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10)]


def densenet() -> nn.Module:
    layers: list[nn.Module] = [conv_bn(3, 16)]
    channels = 16
    for stage in range(3):
        for _ in range(4):
            layers.append(Dense(channels, 12))
            channels += 12
        if stage < 2:
            layers += [conv_bn(channels, channels // 2, 1), nn.AvgPool2d(2)]
            channels //= 2
    return nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU(), *_classifier(channels))


def squeeze_excite() -> nn.Module:
    layers: list[nn.Module] = [conv_bn(3, 16)]
    for inputs, outputs in ((16, 16), (16, 32), (32, 64)):
        if inputs != outputs:
            layers.append(conv_bn(inputs, outputs, 3, 2))
        for _ in range(2):
            last = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
            layers.append(Residual(conv_bn(outputs, outputs), last, nn.BatchNorm2d(outputs), Excite(outputs)))
    return nn.Sequential(*layers, *_classifier(64))


def resnext() -> nn.Module:
    layers: list[nn.Module] = [conv_bn(3, 32)]
    for inputs, outputs in ((32, 32), (32, 64), (64, 128)):
        if inputs != outputs:
            layers.append(conv_bn(inputs, outputs, 3, 2))
        for _ in range(2):
            inner = outputs // 2
            last = nn.Conv2d(inner, outputs, 1, bias=False)
            layers.append(
                Residual(conv_bn(outputs, inner, 1), conv_bn(inner, inner, groups=4), last, nn.BatchNorm2d(outputs))
            )
    return nn.Sequential(*layers, *_classifier(128))
