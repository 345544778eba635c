"""What an ONNX file holds, read off its bytes: whether a device may load it, found out without the onnx package.

An ONNX file is a protocol buffer: a message is a row of fields, each a number with a wire type and a value, and a
field may hold a message (https://protobuf.dev/programming-guides/encoding). The numbers are those of onnx.proto
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto). Whatever is in doubt is refused.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5  # wire types; 3 and 4, groups, are in no ONNX file
_MOST = 5_000_000  # fields; a network of a thousand operators has some ten thousand

# message -> number of a field -> the message it holds; only what leads to tensors and operators
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_DOMAIN = {"node": 7, "function": 10}
_EXTERNAL = {13, 14}  # of a tensor: where else its data lie, and that they do
DOMAINS = frozenset({b"", b"ai.onnx"})
"""The operators of ONNX itself."""


class Refused(Exception):
    """Why a file is not loaded, in one line."""


def check_model(path: Path) -> None:
    """Raises `Refused` unless a file is an ONNX model that is whole in itself and has operators of ONNX only."""
    if path.stat().st_size == 0:
        raise Refused("it is empty")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        open_: list[tuple[str, int, int]] = [("model", 0, len(data))]
        seen, graphs = 0, 0
        while open_:
            message, start, end = open_.pop()
            for number, wire, low, high in _fields(data, start, end):
                seen += 1
                if seen > _MOST:
                    raise Refused("it has too many parts to be checked")
                inside = _INSIDE[message].get(number)
                if inside is not None:
                    if wire != _BYTES:
                        raise _broken()
                    open_.append((inside, low, high))
                    graphs += message == "model" and inside == "graph"
                elif message == "tensor" and number in _EXTERNAL and (wire, low) != (_VARINT, 0):
                    raise Refused("it has external data, which would be read from files here; save it as one file")
                elif _DOMAIN.get(message) == number and (wire != _BYTES or data[low:high] not in DOMAINS):
                    name = data[low:high][:60].decode("ascii", "replace") if wire == _BYTES else "?"
                    raise Refused(f"it has operators of the domain {name!r}; only those of ONNX itself are run here")
        if not graphs:
            raise _broken()


def _fields(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yields each field's number, wire type, and where its bytes begin and end; of a varint, its value and 0."""
    while at < end:
        key, at = _varint(data, at, end)
        number, wire = key >> 3, key & 7
        low, high = at, at
        if wire == _VARINT:
            low, at = _varint(data, at, end)
            high = 0
        elif wire in (_EIGHT, _FOUR):
            at = high = at + (8 if wire == _EIGHT else 4)
        elif wire == _BYTES:
            size, low = _varint(data, at, end)
            at = high = low + size
        else:
            raise _broken()
        if at > end or not 0 < number < 1 << 29:
            raise _broken()
        yield number, wire, low, high


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """Returns the number at a place, seven bits a byte, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise _broken()
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise _broken()


def _broken() -> Refused:
    return Refused("it is no ONNX model, or damaged")
