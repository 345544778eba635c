"""CIFAR-10 from files of the standard layout, made up here: mostly holes, which cost no time to write."""

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from automc.cli import main
from automc.errors import TaskError
from automc.graph import build_graph
from automc.models import VGG16, CifarResNet
from automc.tasks import Split, Task, concatenate, example, load_task
from automc.tasks.cifar10 import NETWORKS, Cifar10
from automc.testing import TaskSuite
from tests.networks import randomize

RECORDS, BYTES = 10_000, 3073
NAMES = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


def fill(path: Path, number: int) -> None:
    """Writes a file of the standard size: black images in the first four; in the last two each tells its place.

    Their red planes begin with the file's number, whether the record is in the second half, and its place modulo 200.
    Record 7 of the last file is noise.
    """
    with path.open("wb") as file:
        file.truncate(RECORDS * BYTES)
    records = np.memmap(path, dtype=np.uint8, mode="r+", shape=(RECORDS, BYTES))
    if number >= 4:
        place = np.arange(RECORDS)
        records[:, 0] = place % 10
        records[:, 1], records[:, 2], records[:, 3] = number, place >= RECORDS // 2, place % 200
    if number == 5:
        records[7, 1:] = np.random.default_rng(0).integers(0, 256, BYTES - 1)
    records.flush()


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "cifar-10-batches-bin"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        fill(folder / name, number)
    return folder


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with random weights of every network, as ``NETWORK.safetensors``."""
    folder = tmp_path_factory.mktemp("weights")
    for name, make in NETWORKS.items():
        save_file(randomize(make(), 0).state_dict(), folder / f"{name}.safetensors")
    return folder


@pytest.fixture
def task(data: Path, weights: Path) -> Cifar10:
    return Cifar10(data=str(data), network="resnet20", weights=str(weights / "resnet20.safetensors"))


class TestCifar10(TaskSuite):
    @pytest.fixture(scope="class")
    def task(self, data: Path, weights: Path) -> Task:
        arguments = {"data": str(data), "network": "plain20", "weights": str(weights / "plain20.safetensors")}
        return load_task("cifar10", arguments)

    def make(self) -> Task:
        raise NotImplementedError  # the fixture above, which knows the folders, takes its place


def images_of(task: Task, split: Split, n: int) -> Tensor:
    inputs = example(task, n, split)
    assert isinstance(inputs, Tensor)
    return inputs


def all_of(task: Task, split: Split, seed: int = 0) -> tuple[Tensor, Tensor]:
    """The first three red bytes of a split's images (N, 3), and its labels."""
    images, labels = concatenate(list(task.batches(split, seed=seed)))
    return ((images[:, 0, 0, :3] * STD[0, 0] + MEAN[0, 0]) * 255).round().int(), labels


def test_the_last_half_file_of_the_training_set_is_search(task: Cifar10) -> None:
    red, labels = all_of(task, "search")
    assert len(red) == 5_000
    assert red[:, :2].tolist() == [[4, 1]] * 5_000
    assert red[:, 2].tolist() == [place % 200 for place in range(5_000)]
    assert labels.tolist() == [place % 10 for place in range(5_000)]


def test_train_is_the_rest_of_it_in_an_order_that_the_seed_decides(task: Cifar10) -> None:
    (red, labels), (other, _) = all_of(task, "train"), all_of(task, "train", seed=1)
    assert not torch.equal(red, other)
    assert len(red) == 45_000
    fifth = red[:, 0] == 4
    assert fifth.sum() == 5_000
    assert not red[~fifth].any()  # the four black files
    assert not red[fifth, 1].any()  # the first half
    assert (labels[fifth] == red[fifth, 2] % 10).all()
    assert torch.equal(red[fifth, 2].sort().values, torch.arange(200).repeat_interleave(25))


def test_test_is_the_test_batch_in_order(task: Cifar10) -> None:
    red, labels = all_of(task, "test")
    assert len(red) == RECORDS
    rest = torch.arange(RECORDS) != 7  # an image of noise
    assert (red[rest, 0] == 5).all()
    assert red[rest, 2].tolist() == [place % 200 for place in range(RECORDS) if place != 7]
    assert labels.tolist() == [place % 10 for place in range(RECORDS)]


def test_images_are_normalised_planes_of_red_green_and_blue(task: Cifar10, data: Path) -> None:
    images = images_of(task, "test", 10)
    raw = np.fromfile(data / "test_batch.bin", dtype=np.uint8).reshape(RECORDS, BYTES)[:10, 1:]
    expected = (torch.tensor(raw).view(10, 3, 32, 32) / 255 - MEAN) / STD
    assert images.dtype == torch.float32
    assert torch.allclose(images, expected, atol=1e-6)


def test_the_folder_above_will_do(data: Path, task: Cifar10) -> None:
    above = Cifar10(data=str(data.parent), weights="", network="plain20")
    assert torch.equal(images_of(above, "test", 10), images_of(task, "test", 10))


def test_augmentation_crops_and_flips_each_image_by_itself(task: Cifar10) -> None:
    images = torch.randn(300, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    changed = task.augment(images, torch.Generator().manual_seed(1))
    black = (-MEAN / STD).expand(3, 32, 32)
    seen = []
    for image, result in zip(images, changed, strict=True):
        padded = F.pad(image - black, (4, 4, 4, 4)) + black[:, :1, :1]
        crops = padded.unfold(1, 32, 1).unfold(2, 32, 1).permute(1, 2, 0, 3, 4).flatten(0, 1)  # (81, 3, 32, 32)
        both = torch.cat([crops, crops.flip(-1)])
        (at,) = torch.nonzero((both - result).abs().amax((1, 2, 3)) < 1e-5)
        seen.append(int(at))
    assert 0.4 < np.mean(np.array(seen) >= 81) < 0.6
    assert len({at % 81 for at in seen}) > 70
    assert not torch.equal(changed, task.augment(images, torch.Generator().manual_seed(2)))


@pytest.mark.parametrize("form", [".safetensors", ".th", ".pt"])
@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_loads_its_own_weights(network: str, form: str, data: Path, tmp_path: Path) -> None:
    saved = randomize(NETWORKS[network](), 3)
    state, path = saved.state_dict(), tmp_path / f"weights{form}"
    if form == ".safetensors":
        save_file(state, path)
    elif form == ".pt":
        torch.save(state, path)
    else:  # as old training scripts write them
        old = {f"module.{name}": value for name, value in state.items() if "num_batches" not in name}
        torch.save({"state_dict": old, "best_prec1": 90.0}, path)
    loaded = Cifar10(data=str(data), network=network, weights=str(path)).model()
    assert not loaded.training
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(loaded(images), saved(images))


@pytest.mark.parametrize(
    ("model", "widths"),
    [
        (VGG16(0.25), [16] * 2 + [32] * 2 + [64] * 3 + [128] * 6),
        (CifarResNet(3, option="none"), [16] * 7 + [32] * 6 + [64] * 6),
    ],
)
def test_all_inner_groups_of_networks_without_shortcuts_can_be_pruned(model: nn.Module, widths: list[int]) -> None:
    graph = build_graph(randomize(model, 0), torch.randn(1, 3, 32, 32))
    assert sorted(group.channels for group in graph.prunable) == widths
    assert [group.channels for group in graph.groups if group.frozen] == [10]  # the classes
    assert not graph.blocks


def test_a_plain_network_is_the_residual_one_without_its_shortcuts() -> None:
    plain, residual = CifarResNet(3, option="none"), CifarResNet(3)
    assert list(plain.state_dict()) == list(residual.state_dict())
    block = plain.get_submodule("layer1.0").eval()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()
        assert not block(torch.rand(1, 16, 8, 8)).any()


def test_paths_start_in_the_folder_of_the_configuration(
    data: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "data").symlink_to(data)
    monkeypatch.setenv("HOME", str(weights))
    text = (
        "task: cifar10\ntask_args: {data: data, network: plain20, weights: ~/plain20.safetensors}\nbudget: macs<=50%\n"
    )
    (tmp_path / "conf" / "search.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["automc", "inspect", "conf/search.yaml", "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    units = json.loads(capsys.readouterr().out)["units"]
    inner = {f"layer{stage}.{block}.conv{conv}" for stage in (1, 2, 3) for block in range(3) for conv in (1, 2)}
    assert {unit["unit"] for unit in units if unit["options"]} == {"conv1", *inner}


@pytest.fixture
def copy(data: Path, tmp_path: Path) -> Path:
    """A folder of links to the files, of which a test may replace one."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in NAMES:
        (folder / name).symlink_to(data / name)
    return folder


def refused(**arguments: str | Path) -> str:
    with pytest.raises(TaskError) as refusal:
        Cifar10(**{name: str(value) for name, value in arguments.items()}).model()
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    line = refused(data=tmp_path / "none", weights="")
    assert line.startswith(
        f"{tmp_path / 'none'}: no such folder; cifar10's data is the unpacked CIFAR-10 binary version"
    )


@pytest.mark.parametrize("name", ["data_batch_3.bin", "test_batch.bin"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    assert refused(data=copy, weights="").startswith(f"{copy / name}: No such file")


@pytest.mark.parametrize("size", [0, RECORDS * BYTES - 1, RECORDS * BYTES + 1, RECORDS * (BYTES + 1)])
def test_a_file_of_another_size_is_refused(copy: Path, size: int) -> None:
    path = copy / "data_batch_2.bin"
    path.unlink()
    path.touch()
    os.truncate(path, size)
    assert f"{path}: {size} bytes, expected 30730000" in refused(data=copy, weights="")


def test_a_label_above_nine_is_refused(copy: Path, data: Path) -> None:
    path = copy / "test_batch.bin"
    path.unlink()
    shutil.copy(data / path.name, path)
    with path.open("r+b") as file:
        file.seek(9_999 * BYTES)
        file.write(b"\x0a")
    assert f"{path}: record 9999 has label 10, labels are 0 to 9" in refused(data=copy, weights="")


def test_an_unknown_network_is_answered_with_the_nearest(data: Path) -> None:
    assert "unknown network 'resnet-20' (did you mean 'resnet20'?)" in refused(
        data=data, weights="", network="resnet-20"
    )


@pytest.mark.parametrize(
    ("network", "of", "message"),
    [
        ("resnet56", "resnet20", "the file has no 'layer1.3.conv1.weight'"),
        ("resnet20", "resnet56", "the network has no 'layer1.3.bn1.bias'"),
        ("vgg16-quarter", "plain20", "the file has no 'features.0.weight'"),
    ],
)
def test_weights_of_another_network_are_refused(data: Path, weights: Path, network: str, of: str, message: str) -> None:
    path = weights / f"{of}.safetensors"
    line = refused(data=data, network=network, weights=path)
    assert line.startswith(f"{path}: not the weights of {network}: {message}")


def test_weights_of_another_shape_are_refused(data: Path, tmp_path: Path) -> None:
    save_file(VGG16(0.5).state_dict(), tmp_path / "half.safetensors")
    line = refused(data=data, network="vgg16-quarter", weights=tmp_path / "half.safetensors")
    assert "'features.0.weight' has shape [32, 3, 3, 3] in the file, [16, 3, 3, 3] in the network" in line


class _Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_damaged_or_hostile_weights_are_refused(data: Path, weights: Path, tmp_path: Path) -> None:
    whole = (weights / "plain20.safetensors").read_bytes()
    torch.save(NETWORKS["plain20"]().state_dict(), tmp_path / "whole.pt")
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "cut.pt").write_bytes((tmp_path / "whole.pt").read_bytes()[:5000])
    (tmp_path / "empty.th").touch()
    torch.save({"state_dict": _Trap(tmp_path / "sprung")}, tmp_path / "trap.th")
    for name in ("cut.safetensors", "cut.pt", "empty.th", "trap.th"):
        line = refused(data=data, network="plain20", weights=tmp_path / name)
        assert line.startswith(f"{tmp_path / name}: no weights can be read")
    assert not (tmp_path / "sprung").exists()
    torch.save([torch.zeros(3)], tmp_path / "list.pt")
    assert "no state dict" in refused(data=data, weights=tmp_path / "list.pt")
    assert "no such file" in refused(data=data, weights=tmp_path / "none.th")
    (tmp_path / "weights.npz").touch()
    assert "weights must be .safetensors" in refused(data=data, weights=tmp_path / "weights.npz")
