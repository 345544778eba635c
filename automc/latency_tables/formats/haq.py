"""HAQ's latency arrays: ``[layer, weight bits - 1, activation bits - 1]``, one number a layer and pair of bits.

The layout is that of ``lib/env/linear_quantize_env.py`` in github.com/mit-han-lab/haq, which counts layers in the order
of ``model.modules()``. The file says neither of which network nor in which unit; whoever imports it has to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from automc import files
from automc.errors import TableError
from automc.graph import ModelGraph
from automc.graph.fusion import is_linear
from automc.latency_tables.imported import ImportedTable, microseconds, unknown_device
from automc.latency_tables.kernels import signature_of
from automc.latency_tables.signature import Signature
from automc.latency_tables.table import Entry, Overhead

MOST_BYTES = 2**26
_MOST_BITS = 32
_MAGIC = b"\x93NUMPY"


def read_haq(path: Path, graph: ModelGraph, order: Sequence[str], unit: str) -> ImportedTable:
    """Returns the latencies of a network's layers at all bits of an array.

    Layers of one shape share an entry, since a table does not know networks: the mean of their numbers, with their
    quartiles.

    Args:
        path: the ``.npy`` file.
        graph: the network that it is of, read with as many examples as the numbers are for.
        order: names of all modules in the order in which the network registers them.
        unit: of the numbers; see `microseconds`.

    Raises:
        TableError: the file is damaged, or its layers are not the network's.
        ConfigError: there is no such unit.
    """
    factor = microseconds(unit)
    array = _load(path)
    layers = sorted(graph.weighted, key=lambda layer: order.index(layer.name))
    count, weights, activations = array.shape
    if len(layers) != count:
        raise TableError(
            f"{path}: an array for {count} layers; the network has {len(layers)} convolutions and linear layers"
        )
    found: dict[Signature, list[float]] = defaultdict(list)
    for layer, numbers in zip(layers, array, strict=True):
        op = layer.op
        while not (graph.ops[op].kind == "convolution" or is_linear(graph.ops, op)):
            op = graph.ops[op].sources[0]  # a linear layer's result may be a view of the product's
        signature = signature_of(graph, (op,), graph.dims, int8=True)
        for bits in np.ndindex(weights, activations):
            found[signature.at_bits(bits[0] + 1, bits[1] + 1)].append(float(numbers[bits]) * factor)
    pairs = tuple((w + 1, a + 1) for w, a in np.ndindex(weights, activations))
    said = f"{path.name} (HAQ array, SHA-256 {files.digest(path)[:12]}, numbers taken as {unit})"
    return ImportedTable(
        device=unknown_device(path.stem, graph.batch, pairs),
        overhead=Overhead(0.0, 0.0),
        entries={signature: _entry(us) for signature, us in found.items()},
        method=f"not measured by AutoMC; {count} layers in {len(found) // len(pairs)} shapes, all else is free",
        imported=said,
        per_layer=True,
    )


def _entry(us: list[float]) -> Entry:
    low, high = np.percentile(us, [25, 75])
    mean = float(np.mean(us))
    return Entry(round(mean, 3), round(min(float(low), mean), 3), round(max(float(high), mean), 3), runs=len(us))


def _load(path: Path) -> np.ndarray:
    """Reads the array without running anything in it; raises TableError where it is none."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
        if magic != _MAGIC:
            raise TableError(f"{path}: no .npy file")
        if size > MOST_BYTES:
            raise TableError(f"{path}: {size} bytes, more than any latency array has ({MOST_BYTES})")
        # mapped, so that a header that lies about the shape takes no memory
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        if mapped.dtype.kind not in "iuf" or mapped.ndim != 3 or max(mapped.shape[1:]) > _MOST_BITS:
            raise TableError(
                f"{path}: an array of {mapped.dtype} with shape {mapped.shape}; expected numbers as "
                f"[layer, weight bits - 1, activation bits - 1], at most {_MOST_BITS} bits"
            )
        array = np.array(mapped, dtype=np.float64)
    except FileNotFoundError:
        raise TableError(f"{path}: no such file") from None
    except (OSError, ValueError, TypeError, OverflowError, EOFError) as error:
        raise TableError(f"{path}: damaged, or no array of numbers ({str(error).splitlines()[0][:120]})") from None
    if not (np.isfinite(array).all() and (array >= 0).all() and array.size):
        raise TableError(f"{path}: it has numbers below zero, or none at all, or some that are not finite")
    return array
