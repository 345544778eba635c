"""A task that trains within a second, for tests of whole searches; used as ``trained.py:Blobs``."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from automc.models import CifarResNet
from automc.tasks import Batch, Split, Task


class Blobs(Task):
    """Tells in which quarter of a noisy image a bright blob is."""

    def __init__(self, seed: int = 0, brightness: float = 2.0) -> None:
        self.seed, self.brightness = seed, brightness

    def model(self) -> nn.Module:
        torch.manual_seed(self.seed)
        model = CifarResNet(blocks=2, widths=(8, 16, 16), channels=1, classes=4, option="B")
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        for inputs, targets in self.batches("train"):
            optimizer.zero_grad()
            self.loss(model(inputs), targets).backward()
            optimizer.step()
        return model.eval()

    def batches(self, split: Split, n: int | None = None, seed: int = 0) -> Iterator[Batch]:
        images, targets = _data(split, self.brightness)
        order = torch.arange(len(images))
        if split == "train":
            order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
        for part in order[:n].split(32):
            yield images[part], targets[part]


class Named(Blobs):
    """The same, its seed in a file."""

    paths = ("file",)

    def __init__(self, file: str) -> None:
        super().__init__(int(Path(file).read_text()))


class Pair(nn.Module):
    """Takes two named images and looks at both."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(1, 8, 3, padding=1)
        self.conv, self.linear = nn.Conv2d(8, 16, 3), nn.Linear(16, 4)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        x = torch.relu(self.left(left) + self.right(right))
        return self.linear(torch.relu(self.conv(x)).mean((2, 3)))


class Pairs(Blobs):
    """The same with a dict of inputs: the image and its mirror."""

    def model(self) -> nn.Module:
        torch.manual_seed(self.seed)
        return Pair().eval()

    def batches(self, split: Split, n: int | None = None, seed: int = 0) -> Iterator[Batch]:
        for images, targets in super().batches(split, n, seed):
            assert isinstance(images, Tensor)
            yield {"left": images, "right": images.flip(-1)}, targets


def _data(split: Split, brightness: float) -> tuple[Tensor, Tensor]:
    number = ("train", "search", "test").index(split)
    generator = torch.Generator().manual_seed(number)
    targets = torch.randint(4, (512 if split == "train" else 128,), generator=generator)
    images = torch.randn(len(targets), 1, 12, 12, generator=generator)
    rows, columns = targets // 2 * 6, targets % 2 * 6
    for image, row, column in zip(images, rows.tolist(), columns.tolist(), strict=True):
        image[0, row + 2 : row + 5, column + 2 : column + 5] += brightness
    return images, targets
