"""Attention for the ONNX exporter, without the shape arithmetic that its own has where the batch size is free."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from onnxscript import opset18
from onnxscript.function_libs.torch_lib.ops.nn import aten_scaled_dot_product_attention

op: Any = opset18  # its operators' types are narrower than what they take


def attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """Returns what `scaled_dot_product_attention` does, of tensors (batch, heads, positions, size)."""
    width = query.shape[3] if len(query.shape) == 4 else None
    if is_causal or enable_gqa or dropout_p or not isinstance(width, int):
        return aten_scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    factor = op.Constant(value_float=scale or 1 / math.sqrt(width))
    scores = op.MatMul(op.Mul(query, factor), op.Transpose(key, perm=[0, 1, 3, 2]))
    if attn_mask is None:
        return op.MatMul(op.Softmax(scores, axis=-1), value)
    zero = op.Constant(value_float=0.0)
    if attn_mask.dtype.name == "BOOL":
        attn_mask = op.Where(attn_mask, zero, op.Constant(value_float=float("-inf")))
    weights = op.Softmax(op.Add(scores, attn_mask), axis=-1)
    # as in PyTorch, a position that may see nothing gets zeros
    return op.MatMul(op.Where(op.IsNaN(weights), zero, weights), value)


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.aten.scaled_dot_product_attention.default: attention
}
"""What the exporter takes as its ``custom_translation_table``."""
