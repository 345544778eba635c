"""Applying a policy to a model."""

from automc.compression.apply import Compressed, compress, rebuild
from automc.compression.calibration import Calibration
from automc.compression.compressor import Compressor
from automc.compression.least_squares import LeastSquares
from automc.compression.magnitude import magnitudes
from automc.compression.methods import Methods
from automc.compression.quantization import Learned, Quantized, Quantizer, quantize

__all__ = [
    "Calibration",
    "Compressed",
    "Compressor",
    "Learned",
    "LeastSquares",
    "Methods",
    "Quantized",
    "Quantizer",
    "compress",
    "magnitudes",
    "quantize",
    "rebuild",
]
