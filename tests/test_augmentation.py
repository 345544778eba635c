"""Training inputs are augmented, by the seed; what is scored or calibrated with never is."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from automc.evaluation import Evaluator, Fidelity
from automc.graph import build_graph
from automc.search_spaces import Choice, Policy
from automc.tasks import Batch, Inputs, Split, Task
from automc.tasks.loops import score
from automc.tasks.training import Training, train


class _Noted(Task):
    """Notes what augmentation was asked for, with one random number of the generator each time."""

    def __init__(self) -> None:
        self.drawn: list[float] = []

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).eval()

    def batches(self, split: Split, n: int | None = None, seed: int = 0) -> Iterator[Batch]:
        for part in torch.randn(12, 4, generator=torch.Generator().manual_seed(len(split)))[:n].split(4):
            yield part, (part.sum(1) > 0).long()

    def augment(self, inputs: Inputs, generator: torch.Generator) -> Inputs:
        assert isinstance(inputs, Tensor)
        self.drawn.append(torch.rand((), generator=generator).item())
        return inputs * self.drawn[-1]


def test_training_augments_every_batch_anew_and_by_its_seed() -> None:
    def trained(seed: int) -> tuple[list[float], Tensor]:
        task = _Noted()
        model = task.model()
        train(model, task, Training(epochs=2, rate=0.1), seed=seed, description="")
        return task.drawn, next(model.parameters()).detach()

    drawn, parameters = trained(3)
    assert len(set(drawn)) == 2 * 3
    again, same = trained(3)
    assert again == drawn
    assert torch.equal(parameters, same)
    assert trained(4)[0] != drawn


def test_scoring_and_calibration_augment_nothing() -> None:
    task = _Noted()
    model = task.model()
    graph = build_graph(model, torch.zeros(1, 4))
    evaluator = Evaluator(task, model, graph, Fidelity(calibration_images=8))
    evaluator.evaluate(Policy({"0": Choice(channels=4)}))
    score(model, task, "test")
    assert task.drawn == []
