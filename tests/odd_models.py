"""Tasks whose models or data are not as usual; used as ``odd_models.py:Shared`` and so on."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from automc.tasks import Batch, Inputs, Split, Task

FEATURES, CLASSES = 8, 4


class Odd(Task):
    """Points and the classes that a fixed linear map gives them; the network is not trained."""

    sizes = (64, 64, 64)

    def network(self) -> nn.Module:
        return plain()

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return self.network().eval()

    def batches(self, split: Split, n: int | None = None, seed: int = 0) -> Iterator[Batch]:
        number = ("train", "search", "test").index(split)
        inputs = self.inputs(self.sizes[number], torch.Generator().manual_seed(number))
        targets = inputs.flatten(1)[:, :CLASSES].argmax(1)
        for part in torch.arange(len(inputs))[:n].split(16):
            yield self.given(inputs[part]), targets[part]

    def inputs(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.randn(count, FEATURES, generator=generator)

    def given(self, inputs: Tensor) -> Inputs:
        return inputs


def plain() -> nn.Sequential:
    return nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, CLASSES))


class Images(Odd):
    """The same with images."""

    def network(self) -> nn.Module:
        return nn.Sequential(convolutions(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, CLASSES))

    def inputs(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.randn(count, 3, 6, 6, generator=generator)


def convolutions() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())


class Plain(Odd):
    """Nothing odd."""


class NoNorm(Images):
    """Convolutions without BatchNorm."""


class Tied(Odd):
    """Two layers that share a weight."""

    def network(self) -> nn.Module:
        model = plain()
        model.insert(2, nn.Linear(16, 16))
        model.insert(3, nn.ReLU())
        assert isinstance(model[2], nn.Linear) and isinstance(model[4], nn.Linear)
        model[4].weight = model[2].weight
        return model


class Twice(Odd):
    """A layer that is called twice."""

    def network(self) -> nn.Module:
        layer = nn.Linear(16, 16)
        return nn.Sequential(
            nn.Linear(FEATURES, 16), nn.ReLU(), layer, nn.ReLU(), layer, nn.ReLU(), nn.Linear(16, 16), nn.ReLU(),
            nn.Linear(16, CLASSES),
        )  # fmt: skip


class Wrapped(nn.Module):
    """A network whose forward pass a subclass changes."""

    def __init__(self, body: nn.Module | None = None) -> None:
        super().__init__()
        self.body = body or plain()

    def forward(self, x: Tensor) -> object:
        return self.body(x)


class _Unused(Wrapped):
    def __init__(self) -> None:
        super().__init__()
        self.spare, self.scale = nn.Linear(5, 7), nn.Parameter(torch.ones(3))
        self.register_buffer("steps", torch.tensor(0))


class Unused(Odd):
    """Parameters that nothing reads."""

    def network(self) -> nn.Module:
        return _Unused()


class _Branching(Wrapped):
    def forward(self, x: Tensor) -> object:
        return self.body(x if x.mean() > 0 else x + 1)


class Branching(Odd):
    """Operators that depend on the values of the inputs."""

    def network(self) -> nn.Module:
        return _Branching()


class Lengths(Odd):
    """Batches of different lengths, such as texts."""

    def network(self) -> nn.Module:
        return nn.Sequential(nn.Conv1d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv1d(16, 16, 3, padding=1), nn.ReLU(),
                             nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(16, CLASSES))  # fmt: skip

    def inputs(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.randn(count, 3, 12, generator=generator)

    def batches(self, split: Split, n: int | None = None, seed: int = 0) -> Iterator[Batch]:
        for number, (inputs, targets) in enumerate(super().batches(split, n, seed)):
            assert isinstance(inputs, Tensor)
            yield inputs[:, :, : 12 - 2 * (number % 2)], targets


class Resized(Lengths):
    """One length, where the model's output has the length in it."""

    def batches(self, split: Split, n: int | None = None, seed: int = 0) -> Iterator[Batch]:
        yield from Odd.batches(self, split, n, seed)


class Float64(Odd):
    """A model in float64, on inputs in float64."""

    def network(self) -> nn.Module:
        return plain().double()

    def given(self, inputs: Tensor) -> Inputs:
        return inputs.double()


class Bfloat16(Odd):
    """A model in bfloat16, on inputs in bfloat16."""

    def network(self) -> nn.Module:
        return plain().bfloat16()

    def given(self, inputs: Tensor) -> Inputs:
        return inputs.bfloat16()


class Float16(Odd):
    """A model in float16, on inputs in float16."""

    def network(self) -> nn.Module:
        return plain().half()

    def given(self, inputs: Tensor) -> Inputs:
        return inputs.half()


class MixedTypes(Odd):
    """A model in float64 on inputs in float32."""

    def network(self) -> nn.Module:
        return plain().double()


class Elsewhere(Odd):
    """A model on another device."""

    def network(self) -> nn.Module:
        return plain().to("meta")


class InputsElsewhere(Odd):
    """Inputs on another device."""

    def given(self, inputs: Tensor) -> Inputs:
        return inputs.to("meta")


class NanWeight(Odd):
    """One weight is no number."""

    value = torch.nan

    def network(self) -> nn.Module:
        model = plain()
        with torch.no_grad():
            model[2].get_parameter("weight")[1, 2] = self.value
        return model


class InfiniteWeight(NanWeight):
    """One weight is infinite."""

    value = torch.inf


class NanStatistics(Images):
    """A variance of BatchNorm is no number."""

    def network(self) -> nn.Module:
        norm = nn.BatchNorm2d(16)
        norm.get_buffer("running_var")[3] = torch.nan
        layers = [nn.Conv2d(3, 16, 3), norm, nn.ReLU(), nn.Conv2d(16, 16, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return nn.Sequential(*layers, nn.Linear(16, CLASSES))


class _Log(Wrapped):
    def forward(self, x: Tensor) -> object:
        return self.body(torch.log(x))


class NanActivations(Odd):
    """Logarithms of what may be negative."""

    def network(self) -> nn.Module:
        return _Log()


class HugeActivations(Odd):
    """Activations beyond what float32 has."""

    def network(self) -> nn.Module:
        model = plain()
        with torch.no_grad():
            model[0].get_parameter("weight").mul_(1e30)
            model[2].get_parameter("weight").mul_(1e30)
        return model


class FewImages(Images):
    """Fewer examples than calibration asks for."""

    sizes = (3, 8, 8)


class NoImages(Odd):
    """No example to calibrate on."""

    sizes = (0, 8, 8)


class NoSearchImages(Odd):
    """No example to score on."""

    sizes = (8, 0, 8)


class NoTestImages(Odd):
    """No example to test on."""

    sizes = (8, 8, 0)


class ConstantImages(Images):
    """All examples are the same, zeros."""

    def inputs(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.zeros(count, 3, 6, 6)


class _Dict(Wrapped):
    def forward(self, x: Tensor) -> object:
        return {"logits": self.body(x)}


class ReturnsDict(Odd):
    """A model that returns a dict, and the default score."""

    def network(self) -> nn.Module:
        return _Dict()


class _Tuple(Wrapped):
    def forward(self, x: Tensor) -> object:
        return self.body(x), x


class ReturnsTuple(Odd):
    """A model that returns a tuple, and the default score."""

    def network(self) -> nn.Module:
        return _Tuple()


class _Class(Wrapped):
    def forward(self, x: Tensor) -> object:
        logits = self.body(x)
        assert isinstance(logits, Tensor)
        return logits.argmax(1)


class ReturnsClasses(Odd):
    """A model that returns classes, not logits."""

    def network(self) -> nn.Module:
        return _Class()


class _Nothing(Wrapped):
    def forward(self, x: Tensor) -> object:
        return None


class ReturnsNothing(Odd):
    """A model that returns nothing."""

    def network(self) -> nn.Module:
        return _Nothing()


class InTraining(Images):
    """A model in training mode, with dropout and frozen weights."""

    def model(self) -> nn.Module:
        model = nn.Sequential(nn.Dropout(0.5), super().model())
        return model.requires_grad_(False).train()


class NoModule(Odd):
    """Not a model."""

    def model(self) -> nn.Module:
        return {}  # type: ignore[return-value]


class _Random(Wrapped):
    def forward(self, x: Tensor) -> object:
        return self.body(x + torch.randn_like(x))


class Random(Odd):
    """Another output at each call."""

    def network(self) -> nn.Module:
        return _Random()


class _Batchwise(Wrapped):
    def forward(self, x: Tensor) -> object:
        return self.body(x - x.mean(0, keepdim=True))


class Batchwise(Odd):
    """An output that depends on the rest of the batch."""

    def network(self) -> nn.Module:
        return _Batchwise()


class _Fixed(Wrapped):
    def forward(self, x: Tensor) -> object:
        return self.body(x.view(16, FEATURES))


class _Length(Wrapped):
    def forward(self, x: Tensor) -> object:
        return self.body(x.view(len(x), FEATURES))


class Length(Odd):
    """A model that asks for the length of its batch, which an exporter takes for a constant."""

    def network(self) -> nn.Module:
        return _Length()


class FixedBatch(Odd):
    """A model for one size of batch only."""

    def network(self) -> nn.Module:
        return _Fixed()


class _Alias(Wrapped):
    def __init__(self) -> None:
        super().__init__()
        self.same = self.body


class Alias(Odd):
    """A module with two names."""

    def network(self) -> nn.Module:
        return _Alias()


class Lazy(Odd):
    """A model with parameters that have no shape yet."""

    def network(self) -> nn.Module:
        return nn.Sequential(nn.LazyLinear(16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, CLASSES))


class Scripted(Odd):
    """A model of torch.jit."""

    def network(self) -> nn.Module:
        return torch.jit.script(plain())


class Compiled(Odd):
    """A model of torch.compile."""

    def network(self) -> nn.Module:
        return torch.compile(plain(), backend="eager")  # type: ignore[return-value]


class WeightNorm(Odd):
    """A parametrized weight."""

    def network(self) -> nn.Module:
        model = plain()
        nn.utils.parametrizations.weight_norm(model[2])
        return model


class Recurrent(Odd):
    """An LSTM, called with one tensor."""

    def network(self) -> nn.Module:
        return _Recurrent()


class _Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.lstm, self.last = nn.Linear(2, 16), nn.LSTM(16, 16, batch_first=True), nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.lstm(torch.relu(self.first(x.view(x.shape[0], 4, 2))))
        return self.last(states[:, -1])
