"""VGG-16 with BatchNorm (Simonyan and Zisserman, ICLR 2015) for 32x32 images, of any width."""

from __future__ import annotations

from torch import Tensor, nn

_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Full width and number of convolutions between two poolings."""


class VGG16(nn.Module):
    """Thirteen 3x3 convolutions with BatchNorm, global average pooling and one linear layer.

    ``features`` is numbered as torchvision's ``vgg16_bn``. It lacks only the last pooling: 32x32 images are 2x2
    there, and averaging over them takes its place.

    Args:
        width: factor on all widths.
        channels: channels of the input image.
        classes: number of classes.
    """

    def __init__(self, width: float = 1.0, channels: int = 3, classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = channels
        for stage, (full, convolutions) in enumerate(_STAGES):
            if stage:
                layers.append(nn.MaxPool2d(2))
            outputs = round(full * width)
            for _ in range(convolutions):
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
                inputs = outputs
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Maps images (N, channels, H, W) to logits (N, classes)."""
        return self.classifier(self.features(x).mean((2, 3)))
