"""What the runtime likes: the latency of convolutions by width, in float32 and int8, operators measured as in a table.

Each column is one layer, as many channels in as out; figures are shares of its latency at 64 channels in float32.
"""

from automc.devices import LocalBench
from automc.latency_tables import Signature
from automc.latency_tables.measure import measure_entries
from automc.latency_tables.signature import INT8

WIDTHS = (4, 6, 8, 10, 12, 15, 16, 17, 20, 24, 28, 31, 32, 33, 40, 48, 56, 63, 64)
LAYERS = {"3x3, 16x16 pixels": (3, 16, False), "1x1, 16x16": (1, 16, False), "depthwise 3x3, 16x16": (3, 16, True)}


def layer(kernel: int, pixels: int, depthwise: bool, width: int, int8: bool) -> Signature:
    """Returns the signature of a convolution, with the ReLU that is free in int8."""
    op, channels, groups = ("dwconv", (width,), {}) if depthwise else ("conv", (width, width), {"g": (1,)})
    shape = {
        "d": (1, 1),
        "hw": (pixels, pixels),
        "k": (kernel, kernel),
        "n": (1,),
        "p": (kernel // 2,) * 2,
        "s": (1, 1),
    }
    return Signature.of(INT8 + op if int8 else op + "+relu", channels, **groups, **shape)


if __name__ == "__main__":
    cells = {
        (name, int8, width): layer(*shape, width, int8)
        for name, shape in LAYERS.items()
        for int8 in (False, True)
        for width in WIDTHS
    }
    entries = measure_entries(LocalBench(), list(cells.values())).entries
    print("| channels |", " | ".join(f"{name}, {kind}" for name in LAYERS for kind in ("float32", "int8")), "|")
    print("|---" * (1 + 2 * len(LAYERS)) + "|")
    for width in WIDTHS:
        shares = [
            entries[cells[name, int8, width]].us / entries[cells[name, False, WIDTHS[-1]]].us
            for name in LAYERS
            for int8 in (False, True)
        ]
        print(f"| {width} |", " | ".join(f"{100 * share:.1f}%" for share in shares), "|")
