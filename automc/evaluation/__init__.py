"""Scoring policies: build, recover, score."""

from typing import TYPE_CHECKING

from automc.lazily import lazily

if TYPE_CHECKING:
    from automc.evaluation.evaluator import Evaluation, Evaluator
    from automc.evaluation.fidelity import Fidelity
    from automc.evaluation.forward import Forward
    from automc.evaluation.outputs import change
    from automc.evaluation.paired import ahead
else:
    __getattr__ = lazily(
        __name__,
        {
            "outputs": ["change"],
            "evaluator": ["Evaluation", "Evaluator"],
            "fidelity": ["Fidelity"],
            "forward": ["Forward"],
            "paired": ["ahead"],
        },
    )

__all__ = ["Evaluation", "Evaluator", "Fidelity", "Forward", "ahead", "change"]
