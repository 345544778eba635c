"""The hand-written digits that scikit-learn ships: 1,797 images of 8x8 pixels, ten classes.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository (1998).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from automc import files
from automc.models import CifarResNet
from automc.tasks._base import Batch, Split, Task
from automc.tasks.training import Training, train

_BATCH = 64
_SEED = 0


class Digits(Task):
    """Digits enlarged to 32x32, and a small residual network trained on them at first use and cached."""

    def __init__(self) -> None:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        data = load_digits()
        rest, test = train_test_split(range(len(data.target)), test_size=360, stratify=data.target, random_state=_SEED)
        fit, search = train_test_split(rest, test_size=360, stratify=data.target[rest], random_state=_SEED)
        images = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16
        self._images = F.interpolate((images - images.mean()) / images.std(), size=32, mode="bilinear")
        self._labels = torch.tensor(data.target)
        self._splits: dict[Split, Tensor] = {
            "train": torch.tensor(fit), "search": torch.tensor(search), "test": torch.tensor(test)
        }  # fmt: skip

    def model(self) -> nn.Module:
        """Returns the trained network (26 million MACs); trains it when the cache has none."""
        torch.manual_seed(_SEED)
        network = CifarResNet(blocks=2, channels=1, option="B")
        path = self._weights()
        try:
            load_model(network, path)
        except (OSError, RuntimeError, SafetensorError):  # not there yet, or damaged: a cache can be made again
            training = Training(epochs=12, rate=0.1)
            train(network, self, training, seed=_SEED, description="Training the digits network (once)")
            with files.replacing(path) as temporary:
                save_model(network, str(temporary))
        return network.eval()

    def batches(self, split: Split, n: int | None = None, seed: int = 0) -> Iterator[Batch]:
        """Yields (images, labels) of shapes (64, 1, 32, 32) and (64,); the last batch may be smaller."""
        index = self._splits[split]
        if split == "train":
            index = index[torch.randperm(len(index), generator=torch.Generator().manual_seed(seed))]
        for part in index[:n].split(_BATCH):
            yield self._images[part], self._labels[part]

    @staticmethod
    def _weights() -> Path:
        return files.home() / "models" / "digits-resnet14-v2.safetensors"
