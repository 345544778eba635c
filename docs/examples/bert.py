"""A small BERT of the transformers package as a task: ``bert.py:Recall``, beside its configuration ``bert.yaml``.

What to copy for a model of your own from that package: a wrapper that returns logits, and a dict of inputs.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from automc import files
from automc.tasks import Batch, Split, Task
from automc.tasks.training import Training, train

_NAMES, _VALUES, _LONGEST = 8, 4, 8
_EXAMPLES: dict[Split, int] = {"train": 8192, "search": 1024, "test": 1024}
_BATCH = 64


class Classifier(nn.Module):
    """BERT for sequence classification that returns its logits, not an object that has them."""

    def __init__(self) -> None:
        super().__init__()
        config = transformers.BertConfig(
            vocab_size=_NAMES * (1 + _VALUES),
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=128,
            max_position_embeddings=1 + _LONGEST,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            initializer_range=0.125,  # the usual 0.02 is meant for far wider networks, and learns nothing here
            num_labels=_VALUES,
        )
        self.bert = transformers.BertForSequenceClassification(config)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Maps tokens (N, T), and a mask that is 0 where a token does not count, to logits (N, 4)."""
        logits: Tensor = self.bert(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


class Recall(Task):
    """Recalls a value by its name: of "b? a=3 c=1 b=2" it is 2.

    The first token is a name, each of those after it a name with a value, in any order; three to eight count, and
    what follows them are tokens that the mask hides.
    """

    def model(self) -> nn.Module:
        """Returns the trained network; trains it when the cache has none."""
        torch.manual_seed(0)
        network = Classifier()
        path = files.home() / "models" / "example-bert-v1.safetensors"
        try:
            load_model(network, path)
        except (OSError, RuntimeError, SafetensorError):  # not there yet, or damaged: a cache can be made again
            train(network, self, Training(epochs=6, rate=0.05), seed=0, description="Training the small BERT (once)")
            with files.replacing(path) as temporary:
                save_model(network, str(temporary))
        return network.eval()

    def batches(self, split: Split, n: int | None = None, seed: int = 0) -> Iterator[Batch]:
        """Yields dicts with ``input_ids`` and ``attention_mask`` of shape (64, 9), and values (64,)."""
        tokens, mask, values = _sentences(_EXAMPLES[split], list(_EXAMPLES).index(split))
        order = torch.arange(len(tokens))
        if split == "train":
            order = torch.randperm(len(tokens), generator=torch.Generator().manual_seed(seed))
        for part in order[:n].split(_BATCH):
            yield {"input_ids": tokens[part], "attention_mask": mask[part]}, values[part]


def _sentences(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns tokens (count, 9), which of them count (count, 9), and the values to recall (count,)."""
    generator = torch.Generator().manual_seed(seed)
    names = torch.rand(count, _NAMES, generator=generator).argsort(1)[:, :_LONGEST]
    values = torch.randint(_VALUES, names.shape, generator=generator)
    lengths = torch.randint(3, _LONGEST + 1, (count, 1), generator=generator)
    asked = (torch.rand(count, 1, generator=generator) * lengths).long()
    mask = torch.cat([torch.ones(count, 1), torch.arange(_LONGEST) < lengths], 1).long()
    tokens = torch.cat([names.gather(1, asked), _NAMES + names * _VALUES + values], 1)
    return tokens, mask, values.gather(1, asked).squeeze(1)
