"""Scoring policies: build, recover, score."""

from automc.evaluation.change import change
from automc.evaluation.evaluator import Evaluation, Evaluator
from automc.evaluation.fidelity import Fidelity
from automc.evaluation.forward import Forward
from automc.evaluation.paired import ahead

__all__ = ["Evaluation", "Evaluator", "Fidelity", "Forward", "ahead", "change"]
