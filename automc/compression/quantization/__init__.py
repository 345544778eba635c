"""Fewer bits for weights and activations: deployable int8, and any of 2 to 8 bits in simulation."""

from automc.compression.bits import Bits, check_bits, is_simulated
from automc.compression.quantization.learned import Learned
from automc.compression.quantization.network import Quantized
from automc.compression.quantization.quantize import quantize
from automc.compression.quantization.quantizer import Quantizer

__all__ = ["Bits", "Learned", "Quantized", "Quantizer", "check_bits", "is_simulated", "quantize"]
