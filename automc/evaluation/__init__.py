"""Scoring policies: build, recover, score."""

from automc.evaluation.change import change
from automc.evaluation.evaluator import Evaluation, Evaluator, Fidelity
from automc.evaluation.forward import Forward

__all__ = ["Evaluation", "Evaluator", "Fidelity", "Forward", "change"]
