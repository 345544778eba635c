"""What a network costs beyond the sum of its operators, each by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from automc.latency_tables.signature import INT8, Signature

# How far corrections may move for a network's latency, as standard deviations: an operator in a network finds other
# things in cache than by itself, and the runtime's profile overstates short operators by more or less than one whole
# tick of its clock. One network says little about many kinds: all are held near to what chains of operators say.
_SCALE, _KERNEL, _RUN = 0.05, 0.5, 1.0
_NOISE = 0.01  # relative, of a network's measured latency and of the sum itself


@dataclass(frozen=True)
class Correction:
    """What turns an operator's latency by itself into what it adds to a network's.

    Attributes:
        scale: factor.
        us: added for each kernel, microseconds; below zero where the runtime's profile overstates operators.
    """

    scale: float = 1.0
    us: float = 0.0


@dataclass(frozen=True)
class Overhead:
    """What a network costs beyond its operators, fitted on chains of one operator each; microseconds.

    Attributes:
        run: for each inference.
        kernel: for each operator of it; below zero when the runtime's profile overstates operators.
        int8: the same for each operator in int8.
        kinds: by kind of operator, fitted on whole networks; goes before the others.
    """

    run: float
    kernel: float
    int8: float = 0.0
    kinds: Mapping[str, Correction] = field(default_factory=dict)

    def of(self, signature: Signature) -> Correction:
        """Returns what corrects an operator."""
        return self.kinds.get(kind_of(signature)) or self._of_chains(kind_of(signature))

    def fitted(self, wholes: Sequence[Whole], least: Mapping[str, float]) -> Overhead:
        """Returns it with corrections for the kinds of operators that these networks have.

        Least squares on relative errors, held near to what chains say (ridge), and such that no operator adds less than
        nothing: where many do by themselves, cutting each off at zero made networks of 50 µs 9% too slow.

        Args:
            wholes: the networks.
            least: for each kind, what the quickest of its operators takes for each of its kernels, microseconds.
        """
        from scipy.optimize import lsq_linear

        if not wholes:
            return replace(self, kinds={})
        kinds = sorted({kind for whole in wholes for kind in whole.kinds})
        chains = [self._of_chains(kind).us for kind in kinds]
        sums = np.array([[whole.kinds.get(kind, (0.0, 0))[0] for kind in kinds] for whole in wholes])
        kernels = np.array([[whole.kinds.get(kind, (0.0, 0))[1] for kind in kinds] for whole in wholes])
        us = np.array([whole.us for whole in wholes])
        design = np.hstack([np.ones((len(us), 1)), sums, kernels]) / (_NOISE * us[:, None])
        near = np.concatenate([[self.run], np.ones(len(kinds)), chains])
        spread = np.concatenate([[_RUN], np.full(len(kinds), _SCALE), np.full(len(kinds), _KERNEL)])
        lowest = np.full(len(near), -np.inf)
        lowest[1 + len(kinds) :] = [-(1 - _SCALE) * least.get(kind, np.inf) for kind in kinds]
        found = lsq_linear(
            np.vstack([design, np.diag(1 / spread)]),
            np.concatenate([np.full(len(us), 1 / _NOISE), near / spread]),
            bounds=(lowest, np.inf),
        ).x.round(4)
        run, scales, each = found[0], found[1 : 1 + len(kinds)], found[1 + len(kinds) :]
        return replace(
            self,
            run=float(run),
            kinds={k: Correction(float(s), float(u)) for k, s, u in zip(kinds, scales, each, strict=True)},
        )

    def _of_chains(self, kind: str) -> Correction:
        return Correction(us=self.int8 if kind.startswith(INT8) else self.kernel)


@dataclass(frozen=True)
class Whole:
    """A network's latency beside that of its operators, each by itself; for fitting, never for validation.

    Attributes:
        subject: what network it is a policy of.
        policy: a short name of the policy, by which a validation leaves it out.
        us: its measured latency in microseconds.
        kinds: by kind of operator: the sum of their latencies in microseconds, and how many kernels they are.
    """

    subject: str
    policy: str
    us: float
    kinds: Mapping[str, tuple[float, int]]


def kind_of(signature: Signature) -> str:
    """Returns the kind of an operator: its first name, with its precision."""
    return signature.op.split("+")[0]
