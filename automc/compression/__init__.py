"""Applying a policy to a model."""

from automc.compression.apply import Compressed, compress, rebuild
from automc.compression.int8 import Quantized, quantize
from automc.compression.least_squares import LeastSquares
from automc.compression.magnitude import magnitudes

__all__ = ["Compressed", "LeastSquares", "Quantized", "compress", "magnitudes", "quantize", "rebuild"]
