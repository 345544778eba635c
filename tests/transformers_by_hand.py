"""Small attention networks as people write them: each keeps its heads in another way."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.networks import Example


class Fused(nn.Module):
    """Queries, keys and values of one layer, in one view; remembers its number of heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.num_heads, self.head_dim = heads, width // heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, length, _ = x.shape
        qkv = self.qkv(x).reshape(n, length, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        return self.proj(y.reshape(n, length, self.num_heads * self.head_dim))


class Chunked(Fused):
    """Cuts them apart first, and computes in single operators."""

    def forward(self, x: Tensor) -> Tensor:
        n, length, _ = x.shape
        parts = self.qkv(x).chunk(3, dim=-1)
        q, k, v = (part.view(n, length, self.num_heads, -1).transpose(1, 2) for part in parts)
        weights = (q @ k.transpose(-2, -1) * self.head_dim**-0.5).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).flatten(2))


class Wide(nn.Module):
    """Knows how wide it is inside by a name that does not say so."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.inner = heads, width + heads
        self.q, self.k, self.v = (nn.Linear(width, self.inner) for _ in range(3))
        self.out = nn.Linear(self.inner, width)

    def forward(self, x: Tensor) -> Tensor:
        n, length, _ = x.shape
        q, k, v = (m(x).view(n, length, self.heads, -1).transpose(1, 2) for m in (self.q, self.k, self.v))
        scale = 0.3  # not that of the heads' width, which the view takes as it comes
        y = F.scaled_dot_product_attention(q, k, v, scale=scale).transpose(1, 2)
        return self.out(y.reshape(n, length, self.inner))


class Grouped(nn.Module):
    """Has fewer heads of keys and values than of queries."""

    def __init__(self, width: int, heads: int, shared: int) -> None:
        super().__init__()
        self.size = width // heads
        self.q, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.k, self.v = nn.Linear(width, shared * self.size), nn.Linear(width, shared * self.size)

    def forward(self, x: Tensor) -> Tensor:
        n, length, _ = x.shape
        q, k, v = (m(x).view(n, length, -1, self.size).transpose(1, 2) for m in (self.q, self.k, self.v))
        return self.out(F.scaled_dot_product_attention(q, k, v, enable_gqa=True).transpose(1, 2).flatten(2))


class FromInput(Fused):
    """Takes its width inside from its input, so that it cannot have another."""

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        q, k, v = self.qkv(x).reshape(n, length, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, length, width))


class Layer(nn.Module):
    """A layer of a transformer, its norms before or after."""

    def __init__(self, width: int, attention: nn.Module, norm: type[nn.Module] = nn.LayerNorm, post: bool = False):
        super().__init__()
        self.attention, self.post = attention, post
        self.norm1, self.norm2 = norm(width), norm(width)
        self.up, self.down = nn.Linear(width, 3 * width), nn.Linear(3 * width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        if self.post:
            x = self.norm1(x + self.attention(x))
            return self.norm2(x + self.down(self.up(x).relu())), mask
        x = x + self.attention(self.norm1(x))
        return x + self.down(self.up(self.norm2(x)).relu()), mask


class Scaled(nn.Module):
    """A norm that somebody wrote, without telling it how wide it is."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * x * (x.square().mean(-1, keepdim=True) + 1e-5).rsqrt()


class Transformer(nn.Module):
    """Patches, a class token, embeddings of positions, layers that take and return more than a tensor."""

    positions: Tensor

    def __init__(self, *layers: nn.Module, width: int = 32, norm: type[nn.Module] = nn.LayerNorm) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.register_buffer("positions", torch.randn(1, 5, width))
        self.layers = nn.ModuleList(layers)
        self.norm, self.classify = norm(width), nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        for layer in self.layers:
            x = layer(x, mask=None)[0]
        return self.classify(self.norm(x)[:, 0])


def transformer(attention: str, width: int = 32, **kinds: Any) -> Example:
    """A network of two layers with this kind of attention, and two images."""
    makes = {
        "fused": lambda: Fused(width, 4),
        "chunked": lambda: Chunked(width, 4),
        "wide": lambda: Wide(width, 4),
        "grouped": lambda: Grouped(width, 4, 2),
        "shared": lambda: Grouped(width, 4, 1),
        "from input": lambda: FromInput(width, 4),
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [Layer(width, makes[attention](), **kinds) for _ in range(2)]
        model = Transformer(*layers, width=width, norm=kinds.get("norm", nn.LayerNorm))
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.data += 0.2 * torch.randn(parameter.shape)
        return Example(model.eval(), torch.randn(2, 3, 8, 8))
