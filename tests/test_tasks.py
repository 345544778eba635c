"""Tasks that ship keep the contract; a user's own is found, or refused in one line."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from automc.errors import TaskError
from automc.tasks import Batch, Split, Task, load_task
from automc.testing import TaskSuite

OWN = """
import torch
from torch import nn
from automc.tasks import Task

class Mine(Task):
    def __init__(self, width=4):
        self.width = width
    def model(self):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, self.width), nn.ReLU(), nn.Linear(self.width, 2))
    def batches(self, split, n=None, seed=0):
        yield torch.zeros(1, 3), torch.zeros(1, dtype=torch.long)

class NoTask:
    pass
"""


class TestDigits(TaskSuite):
    def make(self) -> Task:
        return load_task("digits")


class _TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return self.two(torch.relu(self.one(left + right)))


class DictTask(Task):
    """A task whose inputs are a dict of tensors."""

    def model(self) -> nn.Module:
        torch.manual_seed(1)
        return _TwoInputs()

    def batches(self, split: Split, n: int | None = None, seed: int = 0) -> Iterator[Batch]:
        number = ("train", "search", "test").index(split)
        data = torch.randn(10, 2, 4, generator=torch.Generator().manual_seed(number))
        if split == "train":
            data = data[torch.randperm(10, generator=torch.Generator().manual_seed(seed))]
        for part in data[:n].split(4):
            yield {"left": part[:, 0], "right": part[:, 1]}, (part.sum((1, 2)) > 0).long()


class TestDictTask(TaskSuite):
    def make(self) -> Task:
        return DictTask()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    return path


def test_a_class_of_ones_own_is_found_relative_to_a_folder(file: Path) -> None:
    task = load_task("mine.py:Mine", {"width": 7}, file.parent)
    assert isinstance(task, Task)
    assert sum(p.numel() for p in task.model().parameters()) == 3 * 7 + 7 + 7 * 2 + 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digit", "unknown task 'digit'.*did you mean 'digits'"),
        ("missing.py:Mine", "no file"),
        ("mine.py:Mien", "no class 'Mien'.*did you mean 'Mine'"),
        ("mine.py:NoTask", "not a subclass"),
    ],
)
def test_what_is_no_task_is_refused_in_one_line(file: Path, name: str, message: str) -> None:
    with pytest.raises(TaskError, match=message) as refused:
        load_task(name, relative_to=file.parent)
    assert "\n" not in str(refused.value)


def test_a_file_that_fails_on_import_is_named_with_its_error(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("raise RuntimeError('no data here')")
    with pytest.raises(TaskError, match=r"bad\.py fails on import: RuntimeError: no data here"):
        load_task("bad.py:Mine", relative_to=tmp_path)


def test_wrong_arguments_are_refused(file: Path) -> None:
    with pytest.raises(TaskError, match="cannot be made: TypeError"):
        load_task("mine.py:Mine", {"depth": 1}, file.parent)


def test_a_damaged_cache_of_digits_is_trained_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = load_task("digits")
    good = task.model()
    from automc.tasks import digits

    monkeypatch.setattr(digits, "train", lambda network, *_, **__: network.load_state_dict(good.state_dict()))
    monkeypatch.setenv("AUTOMC_HOME", str(tmp_path))
    cached = tmp_path / "models" / "digits-resnet14-v2.safetensors"
    cached.parent.mkdir()
    cached.write_bytes(b"no weights")
    again = task.model()
    assert all(torch.equal(a, b) for a, b in zip(good.parameters(), again.parameters(), strict=True))
    task.model()
    assert cached.stat().st_size > 100_000
