"""MobileNetV2 (Sandler et al., CVPR 2018), of any width, for ImageNet or small images."""

from __future__ import annotations

from torch import Tensor, nn

from automc.models._mobile import conv_bn, strides, width_of

_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, full width, blocks, and stride of the first block (table 2 of the paper)."""


class InvertedResidual(nn.Module):
    """Widens, filters each channel by itself, and narrows again; added to its input where the shape is the same."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        self.adds = stride == 1 and inputs == outputs
        inner = inputs * expansion
        layers: list[nn.Module] = [conv_bn(inputs, inner, 1)] if expansion != 1 else []
        layers += [
            conv_bn(inner, inner, 3, stride, groups=inner),
            nn.Conv2d(inner, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, inputs, H, W) to (N, outputs, H/stride, W/stride)."""
        return x + self.conv(x) if self.adds else self.conv(x)


class MobileNetV2(nn.Module):
    """A stem, seventeen inverted residual blocks, a 1x1 convolution and one linear layer.

    Parameters are named and shaped as those of torchvision's ``mobilenet_v2``, whose files of weights load. At width
    1, for ImageNet: 3,504,872 parameters and 300.8 million MACs at 224x224.

    Args:
        width: factor on all widths, which are rounded to multiples of 8; the last one is never less than 1280.
        channels: channels of the input image.
        classes: number of classes.
        stride: by how much the image gets smaller in all: 32 for ImageNet; 8 leaves out the first two of the five
            halvings, as is usual for images of 32x32.
    """

    def __init__(self, width: float = 1.0, channels: int = 3, classes: int = 1000, stride: int = 32) -> None:
        super().__init__()
        inputs, last = width_of(32, width), width_of(1280, max(1.0, width))
        stem, *firsts = strides(stride, [2, *(stage[3] for stage in _STAGES)])
        layers: list[nn.Module] = [conv_bn(channels, inputs, 3, stem)]
        for (expansion, full, blocks, _), first in zip(_STAGES, firsts, strict=True):
            outputs = width_of(full, width)
            for block in range(blocks):
                layers.append(InvertedResidual(inputs, outputs, 1 if block else first, expansion))
                inputs = outputs
        self.features = nn.Sequential(*layers, conv_bn(inputs, last, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Maps images (N, channels, H, W) to logits (N, classes)."""
        return self.classifier(self.features(x).mean((2, 3)))
