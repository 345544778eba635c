"""Applying a policy to a model."""

from automc.compression.apply import Compressed, compress, rebuild
from automc.compression.calibration import Calibration
from automc.compression.compressor import Compressor
from automc.compression.methods import Methods
from automc.compression.quantization import Learned, Quantized, Quantizer, quantize
from automc.compression.recovery import LeastSquares, recalibrate
from automc.compression.selection import SELECTORS, Selector, magnitudes, make_selector

__all__ = [
    "SELECTORS",
    "Calibration",
    "Compressed",
    "Compressor",
    "Learned",
    "LeastSquares",
    "Methods",
    "Quantized",
    "Quantizer",
    "Selector",
    "compress",
    "magnitudes",
    "make_selector",
    "quantize",
    "rebuild",
    "recalibrate",
]
