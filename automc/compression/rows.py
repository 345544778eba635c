"""What a layer reads and gives at sampled positions, as rows of a matrix."""

from __future__ import annotations

import torch
from torch import Tensor, nn

Layer = nn.Conv2d | nn.Linear


def can_be_sampled(layer: nn.Module) -> bool:
    """Says whether what a layer reads can be had as rows."""
    if isinstance(layer, nn.Conv2d):
        return layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return isinstance(layer, nn.Linear)


def is_matrix(layer: nn.Module) -> bool:
    """Says whether a layer is one matrix that maps rows to rows: convolutions without groups, linear layers."""
    return can_be_sampled(layer) and getattr(layer, "groups", 1) == 1


def as_matrix(weight: Tensor) -> Tensor:
    """Returns a weight as (outputs, inputs), a convolution's inputs in the order (kh, kw, channels)."""
    return weight.movedim(1, -1).flatten(1)


def from_matrix(layer: Layer, weight: Tensor) -> Tensor:
    """Returns a matrix (outputs, inputs) in the shape of a layer's weight."""
    return weight.unflatten(1, (*layer.kernel_size, -1)).movedim(-1, 1) if isinstance(layer, nn.Conv2d) else weight


class Sampler:
    """Draws positions, the same for all layers whose outputs have as many.

    Args:
        examples: how many examples there are.
        most: how many positions of an example are taken, at most.
        seed: seeds the choice.
    """

    def __init__(self, examples: int, most: int, seed: int) -> None:
        self._examples, self._most, self._seed = examples, most, seed
        self._drawn: dict[int, Tensor] = {}

    def positions(self, count: int) -> Tensor:
        """Returns sampled positions (examples, P) of outputs that have ``count`` an example."""
        if count not in self._drawn:
            generator = torch.Generator().manual_seed(self._seed * 1_000_003 + count)
            several = min(self._most, count)
            parts = [
                torch.rand(len(part), count, generator=generator).topk(several, sorted=False).indices
                for part in torch.arange(self._examples).split(256)
            ]
            self._drawn[count] = torch.cat(parts)
        return self._drawn[count]


def positions_of(layer: Layer, output: Tensor) -> int:
    """Returns how many positions an example's output has: pixels of a convolution's, rows of a linear layer's."""
    return output[0, 0].numel() if isinstance(layer, nn.Conv2d) else output[0].numel() // output.shape[-1]


def sampled_outputs(layer: Layer, output: Tensor, positions: Tensor) -> Tensor:
    """Returns what the layer gives at the positions (examples, P), as rows (examples * P, outputs)."""
    rows = output.movedim(1, -1) if isinstance(layer, nn.Conv2d) else output
    rows = rows.reshape(len(output), -1, rows.shape[-1])  # (examples, positions, channels)
    return rows.gather(1, positions[:, :, None].expand(-1, -1, rows.shape[-1])).flatten(0, 1).float()


def sampled_inputs(layer: Layer, inputs: Tensor, positions: Tensor) -> Tensor:
    """Returns what the layer reads at the positions (examples, P) of its output, as rows (examples * P, inputs).

    A convolution's inputs are in the order (kh, kw, channels): so each pixel of a window is copied in one piece.
    """
    if not isinstance(layer, nn.Conv2d):
        pixels = inputs.reshape(len(inputs), -1, inputs.shape[-1])  # (examples, positions, channels)
        start = torch.arange(len(pixels))[:, None] * pixels.shape[1]
        return pixels.flatten(0, 1).index_select(0, (start + positions).flatten()).float()
    assert not isinstance(layer.padding, str)
    (ph, pw), (sh, sw), (dh, dw), (kh, kw) = layer.padding, layer.stride, layer.dilation, layer.kernel_size
    examples, channels, height, width = inputs.shape
    across = (width + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    # (examples, P, kh, kw)
    row = (positions // across * sh - ph)[:, :, None, None] + (torch.arange(kh) * dh)[:, None]
    column = (positions % across * sw - pw)[:, :, None, None] + torch.arange(kw) * dw
    padding = (row < 0) | (row >= height) | (column < 0) | (column >= width)
    start = torch.arange(examples)[:, None, None, None] * height
    pixel = (start + row.clamp(0, height - 1)) * width + column.clamp(0, width - 1)
    pixels = inputs.permute(0, 2, 3, 1).reshape(-1, channels)  # no copy where channels are last in memory
    windows = pixels.index_select(0, pixel.flatten()).float()
    windows.index_fill_(0, padding.flatten().nonzero().flatten(), 0)
    return windows.view(positions.numel(), -1)


def gram(rows: Tensor, strips: int = 4) -> Tensor:
    """Returns rows' transpose times rows (n, inputs), in float64, of which only the lower triangle is computed."""
    size = rows.shape[1]
    product = rows.new_zeros(size, size, dtype=torch.float64)
    for part in torch.arange(size).tensor_split(strips):  # strips of the triangle
        if len(part):
            first, end = int(part[0]), int(part[-1]) + 1
            product[first:end, :end] = rows[:, first:end].T @ rows[:, :end]
    return product
