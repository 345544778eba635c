"""Applying a policy to a model."""

from automc.compression.apply import Compressed, compress, rebuild
from automc.compression.calibration import Calibration
from automc.compression.compressor import Compressor
from automc.compression.int8 import Quantized, quantize
from automc.compression.least_squares import LeastSquares
from automc.compression.magnitude import magnitudes
from automc.compression.methods import Methods

__all__ = [
    "Calibration",
    "Compressed",
    "Compressor",
    "LeastSquares",
    "Methods",
    "Quantized",
    "compress",
    "magnitudes",
    "quantize",
    "rebuild",
]
