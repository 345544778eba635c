"""Scoring policies: build, recover, score."""

from automc.evaluation.evaluator import Evaluation, Evaluator, Fidelity

__all__ = ["Evaluation", "Evaluator", "Fidelity"]
