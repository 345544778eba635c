"""MobileNetV1 (Howard et al., 2017), of any width, for ImageNet or small images."""

from __future__ import annotations

from torch import Tensor, nn

from automc.models._mobile import conv_bn, strides, width_of

_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""Full width and stride of each pair of a depthwise and a 1x1 convolution (table 1 of the paper)."""


class MobileNetV1(nn.Module):
    """A stem, thirteen pairs of a depthwise and a 1x1 convolution, and one linear layer.

    At width 1, for ImageNet: 4,231,976 parameters and 568.7 million MACs at 224x224.

    Args:
        width: factor on all widths, which are rounded to multiples of 8.
        channels: channels of the input image.
        classes: number of classes.
        stride: by how much the image gets smaller in all: 32 for ImageNet; 8 leaves out the first two of the five
            halvings, for images of 32x32.
    """

    def __init__(self, width: float = 1.0, channels: int = 3, classes: int = 1000, stride: int = 32) -> None:
        super().__init__()
        inputs = width_of(32, width)
        stem, *others = strides(stride, [2, *(step for _, step in _BLOCKS)])
        self.conv1 = conv_bn(channels, inputs, 3, stem, activation=nn.ReLU)
        layers = []
        for (full, _), step in zip(_BLOCKS, others, strict=True):
            outputs = width_of(full, width)
            depthwise = conv_bn(inputs, inputs, 3, step, groups=inputs, activation=nn.ReLU)
            layers.append(nn.Sequential(*depthwise, *conv_bn(inputs, outputs, 1, activation=nn.ReLU)))
            inputs = outputs
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Maps images (N, channels, H, W) to logits (N, classes)."""
        return self.classifier(self.features(self.conv1(x)).mean((2, 3)))
