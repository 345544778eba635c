"""Operators as branches of small ONNX models, in which they are measured."""

from automc.latency_tables.micro.models import branch_of, chain, owners, side_by_side

__all__ = ["branch_of", "chain", "owners", "side_by_side"]
