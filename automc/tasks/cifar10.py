"""CIFAR-10 and the networks that papers compress on it, from files that the user has.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009), as "CIFAR-10 binary version".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automc.errors import TaskError, nearest
from automc.models import VGG16, CifarResNet, load_weights
from automc.tasks._base import Batch, Inputs, Split, Task

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet20": partial(CifarResNet, 3),
    "resnet56": partial(CifarResNet, 9),
    "plain20": partial(CifarResNet, 3, option="none"),
    "vgg16-quarter": partial(VGG16, 0.25),
}

_FOLDER = "cifar-10-batches-bin"
_FILES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
_RECORDS, _BYTES = 10_000, 1 + 3 * 32 * 32  # a file's records: one label, then the red, green and blue plane
_CLASSES = 10
_EXAMPLES: dict[Split, range] = {
    "train": range(45_000), "search": range(45_000, 50_000), "test": range(50_000, 60_000)
}  # fmt: skip
_BATCH = 250
_MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
_STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
_PAD = 4


class Cifar10(Task):
    """CIFAR-10 in its standard binary layout, and a network with weights from a file.

    The last 5,000 training images are ``search``, the 45,000 before them ``train``.

    Args:
        data: the folder with ``data_batch_1.bin`` to ``data_batch_5.bin`` and ``test_batch.bin``, or the one that
            holds it as ``cifar-10-batches-bin``.
        network: one of `NETWORKS`.
        weights: the network's weights, a file that `automc.models.load_weights` reads.

    Raises:
        TaskError: the network is unknown; a file is missing, of another size, or no CIFAR-10.
    """

    paths: ClassVar[tuple[str, ...]] = ("data", "weights")

    def __init__(self, *, data: str, weights: str, network: str = "resnet56") -> None:
        if network not in NETWORKS:
            raise TaskError(f"cifar10: unknown network '{network}'{nearest(network, NETWORKS)}")
        self.network, self._weights = network, Path(weights)
        folder = Path(data)
        if (folder / _FOLDER).is_dir():
            folder /= _FOLDER
        if not folder.is_dir():
            raise TaskError(f"{folder}: no such folder; cifar10's data is the unpacked CIFAR-10 binary version")
        self._files = [_records(folder / name) for name in _FILES]

    def model(self) -> nn.Module:
        """Returns the network with its weights; raises TaskError where the file has none for it."""
        network = NETWORKS[self.network]()
        load_weights(network, self._weights, self.network)
        return network.eval()

    def batches(self, split: Split, n: int | None = None, seed: int = 0) -> Iterator[Batch]:
        """Yields (images, labels) of shapes (250, 3, 32, 32) and (250,); the last batch may be smaller."""
        examples = torch.tensor(_EXAMPLES[split])
        if split == "train":
            examples = examples[torch.randperm(len(examples), generator=torch.Generator().manual_seed(seed))]
        for part in examples[:n].split(_BATCH):
            records = self._take(part.numpy())
            images = records[:, 1:].view(-1, 3, 32, 32).float()
            yield images.div_(255).sub_(_MEAN).div_(_STD), records[:, 0].long()

    def augment(self, inputs: Inputs, generator: torch.Generator) -> Tensor:
        """Returns a random 32x32 crop of each image with a black border of 4, flipped in one of two cases."""
        assert isinstance(inputs, Tensor)
        black = -_MEAN / _STD
        padded = F.pad(inputs - black, (_PAD,) * 4) + black
        count, _, height, width = inputs.shape
        top, left = torch.randint(0, 2 * _PAD + 1, (2, count, 1), generator=generator)
        flipped = torch.rand(count, 1, generator=generator) < 0.5
        rows, columns = top + torch.arange(height), left + torch.arange(width)
        columns = torch.where(flipped, columns.flip(1), columns)
        image, channel = torch.arange(count)[:, None, None, None], torch.arange(3)[:, None, None]
        return padded[image, channel, rows[:, None, :, None], columns[:, None, None, :]]

    def _take(self, examples: np.ndarray) -> Tensor:
        """Returns records (N, 3073) of bytes, by their number over all files."""
        records = np.empty((len(examples), _BYTES), dtype=np.uint8)
        file, row = np.divmod(examples, _RECORDS)
        for number in np.unique(file):
            here = file == number
            records[here] = self._files[number][row[here]]
        return torch.from_numpy(records)


def _records(path: Path) -> np.ndarray:
    """Returns a file's records (10,000, 3073) of bytes, mapped: several processes share them."""
    try:
        size = path.stat().st_size
        if size != _RECORDS * _BYTES:
            raise TaskError(
                f"{path}: {size} bytes, expected {_RECORDS * _BYTES}; unpack the CIFAR-10 binary version anew"
            )
        records = np.memmap(path, dtype=np.uint8, mode="r", shape=(_RECORDS, _BYTES))
    except OSError as error:
        reason = error.strerror or error
        raise TaskError(f"{path}: {reason}; cifar10's data is the unpacked CIFAR-10 binary version") from None
    wrong = np.flatnonzero(records[:, 0] >= _CLASSES)
    if len(wrong):
        raise TaskError(
            f"{path}: record {wrong[0]} has label {records[wrong[0], 0]}, labels are 0 to 9; "
            "unpack the CIFAR-10 binary version anew"
        )
    return records
