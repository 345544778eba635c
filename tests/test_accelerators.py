"""Accelerators on paper: what a model of one must keep to, and what a network costs on it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from automc.costs import Budget, CostModel, Projection
from automc.errors import AutoMCError, ConfigError, TableError, TraceError
from automc.graph import build_graph
from automc.latency_tables import Hardware, Signature, WithEnergy
from automc.latency_tables.energy import energy_table, energy_tables
from automc.latency_tables.products import products_of
from automc.latency_tables.simulated import (
    ACCELERATORS,
    CLOUD,
    EDGE,
    EVERY_PAIR,
    Accelerator,
    Bismo,
    BitFusion,
    Roofline,
    make_accelerator,
)
from automc.search_spaces import SpaceConfig, build_space
from tests.foreign import foreign
from tests.networks import Example, Mean, networks, priced, randomize, with_random_table

FLEXIBLE = ("bismo-edge", "bismo-cloud", "bitfusion")
seeds = st.integers(0, 2**16)
names = st.sampled_from(sorted(ACCELERATORS))
bits = st.integers(1, 8)


@st.composite
def operators(draw: st.DrawFn) -> Signature:
    def number(least: int, most: int) -> int:
        return draw(st.integers(least, most))

    n, side, size, stride = number(1, 3), number(7, 20), draw(st.sampled_from([1, 3, 5])), number(1, 2)
    shape = {"n": (n,), "hw": (side, side), "k": (size, size), "s": (stride,) * 2, "p": (size // 2,) * 2, "d": (1, 1)}
    kind = draw(st.sampled_from(["conv", "dwconv", "linear", "matmul", "attention"]))
    if kind == "conv":
        groups = number(1, 4)
        return Signature.of("int8.conv", (groups * number(1, 80), groups * number(1, 80)), g=(groups,), **shape)
    if kind == "dwconv":
        return Signature.of("int8.dwconv", (number(1, 300),), **shape)
    if kind == "linear":
        return Signature.of("int8.linear", (number(1, 900), number(1, 900)), n=(number(1, 40),))
    if kind == "matmul":
        return Signature.of("int8.matmul", tuple(number(1, 40) for _ in range(number(3, 4))))
    return Signature.of("int8.attention", (number(1, 4), number(1, 40)), n=(n,), l=(side, number(1, 40)), mask=(0,))


def space_of(example: Example, hardware: Hardware, config: SpaceConfig) -> CostModel:
    """The cost model of a network on hardware; asks for another network where there is nothing to choose."""
    graph = build_graph(*example)
    try:
        return CostModel(graph, build_space(graph, config, 1, hardware.device.precisions), hardware)
    except TraceError:
        assume(False)
        raise


@given(operators(), names, bits, bits, bits, bits)
def test_more_bits_are_never_cheaper(operator: Signature, name: str, w: int, a: int, more_w: int, more_a: int) -> None:
    hardware = make_accelerator(name)
    more, fewer = operator.at_bits(max(w, more_w), max(a, more_a)), operator.at_bits(w, a)
    if {more.bits, fewer.bits} <= set(hardware.device.precisions) and fewer.kind not in ("matmul", "attention"):
        assert 0 < hardware.cost(fewer) <= hardware.cost(more) * (1 + 1e-12)
        assert 0 < hardware.energy(fewer) <= hardware.energy(more) * (1 + 1e-12)


@given(operators(), bits, bits)
def test_no_array_is_faster_than_all_of_it_at_work(operator: Signature, w: int, a: int) -> None:
    for hardware in (Bismo("bismo-cloud", CLOUD), Bismo("bismo-edge", EDGE)):
        array = hardware.array
        macs = sum(p.macs * (w if p.weighted else a) * a for p in products_of(operator))
        peak = array.rows * array.columns * array.depth * array.mhz
        assert hardware.cost(operator.at_bits(w, a)) >= macs / peak * (1 - 1e-12)
    fusion = BitFusion()
    units = fusion.fusion.rows * fusion.fusion.columns * fusion.fusion.mhz
    bricks = sum(p.macs * fusion.stored(w if p.weighted else a) * fusion.stored(a) for p in products_of(operator)) / 64
    assert fusion.cost(operator.at_bits(w, a)) >= bricks / units * (1 - 1e-12)


@settings(max_examples=25)
@given(networks(), names, seeds)
def test_a_network_costs_the_sum_of_its_products(example: Example, name: str, seed: int) -> None:
    hardware = make_accelerator(name)
    model = space_of(example, hardware, SpaceConfig(min_keep=0.01, bits=(4, 8)))
    indices = model.space.sample(np.random.default_rng(seed), 4)
    prices = model.prices(indices)
    for row, index in enumerate(indices):
        signatures = model.signatures(index)
        assert prices["latency"][row] == pytest.approx(sum(map(hardware.cost, signatures)))
        assert prices["energy"][row] == pytest.approx(sum(map(hardware.energy, signatures)))
        alone = CostModel(model.graph, model.space, hardware).prices(index[None])
        assert all(alone[metric][0] == prices[metric][row] for metric in prices)
        assert sum(model.breakdown(index, "energy").values()) == pytest.approx(prices["energy"][row])
        macs = sum(product.macs for signature in signatures for product in products_of(signature))
        assert macs == prices["macs"][row] * model.graph.batch


@pytest.mark.parametrize("name", ["MobileNetV2", "ViT", "BERT"])
def test_networks_of_others_have_the_products_that_their_macs_say(name: str) -> None:
    example = foreign(name)
    graph = build_graph(example.model, example.inputs, limit_s=0)
    hardware = make_accelerator("bitfusion")
    space = build_space(graph, SpaceConfig(width=False, depth=False, bits=(2, 8)), 1, hardware.device.precisions)
    model = CostModel(graph, space, hardware)
    signatures = model.signatures(space.full)
    macs = sum(product.macs for signature in signatures for product in products_of(signature))
    assert macs == model.prices(space.full[None])["macs"][0] * graph.batch
    assert all(signature.bits == (8, 8) for signature in signatures)
    lowest = model.signatures(np.zeros_like(space.full))
    assert [signature.bits for signature in lowest].count((2, 2)) == len(space.axes) > 5


def small() -> Example:
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()]
    layers += [nn.Conv2d(16, 32, 3, 2), nn.ReLU(), Mean(), nn.Linear(32, 10)]
    return Example(randomize(nn.Sequential(*layers), 0), torch.ones(2, 3, 16, 16))


@pytest.mark.parametrize("simulate", [False, True])
@pytest.mark.parametrize("name", FLEXIBLE)
def test_every_pair_of_bits_is_offered_and_priced_where_the_device_runs_it(name: str, simulate: bool) -> None:
    hardware = make_accelerator(name)
    model = space_of(small(), hardware, SpaceConfig(width=False, depth=False, bits=(2, 4, 8), simulate=simulate))
    assert [axis.unit for axis in model.space.axes] == ["0", "3", "6"]
    for axis in model.space.axes:
        assert set(axis.options) == {(w, a) for w in (2, 4, 8) for a in (2, 4, 8)}
        assert axis.options[-1] == (8, 8)
    index = np.array([1, 2, 5])
    asked = [axis.options[i] for axis, i in zip(model.space.axes, index, strict=True)]
    assert [signature.bits for signature in model.signatures(index)] == asked
    assert {signature.bits for signature in model.signatures(model.space.full)} == {(8, 8)}


def test_a_layer_without_a_choice_runs_as_the_network_does() -> None:
    config = SpaceConfig(width=False, depth=False, bits=(2, 8), exclude=("0", "6"))
    model = space_of(small(), make_accelerator("bismo-cloud"), config)
    assert [signature.bits for signature in model.signatures(np.array([0]))] == [(8, 8), (2, 2), (8, 8)]
    in_float = space_of(small(), make_accelerator("roofline"), config.model_copy(update={"bits": (4, 8)}))
    assert [signature.bits for signature in in_float.signatures(np.array([0]))] == [(32, 32), (4, 4), (32, 32)]


@pytest.mark.parametrize("metric", ["latency", "energy"])
@pytest.mark.parametrize("name", sorted(ACCELERATORS))
def test_budgets_on_latency_and_energy_are_kept(name: str, metric: str) -> None:
    hardware = make_accelerator(name)
    model = space_of(small(), hardware, SpaceConfig(width=False, depth=False, bits=(4, 8)))
    full = model.cost(model.space.decode(model.space.full))
    projection = Projection(model, [Budget.parse(f"{metric}<=80%")])
    for index in model.space.sample(np.random.default_rng(0), 20):
        assert model.prices(projection.project(index)[None])[metric][0] <= 0.8 * full.get(metric)


@pytest.mark.parametrize("name", FLEXIBLE)
def test_what_a_device_does_not_run_is_refused(name: str) -> None:
    hardware = make_accelerator(name)
    message = f"{name} does not run 'linear 8,8 n=1'; it runs weights and activations of 1 to 8 bits each, no float"
    for ask in (hardware.cost, hardware.lookup, hardware.energy):
        with pytest.raises(TableError, match=message):
            ask(Signature.parse("linear 8,8 n=1"))
    with pytest.raises(TableError, match="its products are not in its signature"):
        hardware.cost(Signature.parse("int8.baddbmm 8 after=3 before=2"))
    with pytest.raises(ConfigError, match="the device does not run 32 bits; it runs: 1, 2, 3, 4, 5, 6, 7"):
        build_space(build_graph(*small()), SpaceConfig(bits=(8, 32)), 1, hardware.device.precisions)


def test_what_has_no_products_is_free() -> None:
    for name in ACCELERATORS:
        hardware = make_accelerator(name)
        assert hardware.run_us == 0
        for line in ("relu 16 after=8x8 before=1", "max_pool2d 8 c=0 hw=8x8 k=2x2 n=1 p=0x0 s=2x2"):
            assert (hardware.cost(Signature.parse(line)), hardware.energy(Signature.parse(line))) == (0, 0)
        estimate = hardware.lookup(Signature.parse("int8.linear 64,10 n=1"))
        assert estimate.how == "model"
        assert estimate.low == estimate.us == estimate.high > 0


def test_bismo_by_hand() -> None:
    cloud = Bismo("bismo-cloud", CLOUD, batch=16)
    # 1280 weights are 5 words of 256 bits; one word is fetched a cycle, 1000 rows of 8 planes; the array works while
    # the next come, but for the last of 63 tiles, 5 words x 8 x 8 planes
    assert cloud.cost(Signature.parse("int8.linear 1280,1000 n=16")) == pytest.approx((1000 * 5 * 8 + 5 * 64) / 200)
    # 256 pixels of 16 weights each: all are fetched while the array works on them, but for the last tile's 1 x 1 planes
    line = "w1a1.conv 16,16 d=1x1 g=1 hw=16x16 k=1x1 n=1 p=0x0 s=1x1"
    assert cloud.cost(Signature.parse(line)) == pytest.approx((256 + 1) / 200)
    assert cloud.cost(Signature.parse(line.replace("n=1 ", "n=3 "))) == pytest.approx(3 * (256 + 1) / 200)
    # 32 channels: 16 at once
    line = "w1a1.dwconv 32 d=1x1 hw=16x16 k=3x3 n=1 p=1x1 s=1x1"
    assert cloud.cost(Signature.parse(line)) == pytest.approx(2 * (256 + 1) / 200)


def test_bit_fusion_by_hand() -> None:
    hardware = BitFusion()
    line = "int8.conv 64,64 d=1x1 g=1 hw=56x56 k=3x3 n=1 p=1x1 s=1x1"
    cycles = 56 * 56 * 2 * math.ceil(64 * 9 / 16)
    assert hardware.cost(Signature.parse(line)) == pytest.approx(cycles / 500)
    assert hardware.cost(Signature.parse(line.replace("int8", "w5a8"))) == pytest.approx(cycles / 500)
    assert hardware.cost(Signature.parse(line.replace("int8", "w4a8"))) == pytest.approx(cycles / 2 / 500)
    assert hardware.cost(Signature.parse(line.replace("int8", "w4a3"))) == pytest.approx(cycles / 4 / 500)


def test_a_roofline_is_arithmetic_or_memory() -> None:
    hardware = Roofline(peaks={(8, 8): 1e9, (4, 4): 2e9}, bandwidth=1e6)
    assert hardware.device.precisions == ((4, 4), (8, 8))
    wide, narrow = Signature.parse("int8.linear 1000,1000 n=1000"), Signature.parse("int8.linear 1000,1000 n=1")
    assert hardware.cost(wide) == pytest.approx(3e6)  # bytes, at 1 MB/s
    assert hardware.cost(narrow) == pytest.approx(1e6 + 2e3)
    assert Roofline(peaks={(8, 8): 1e8}, bandwidth=1e9).cost(wide) == pytest.approx(1e7)  # 1e9 MACs
    for peaks in ({}, {(8, 8): 0.0}, {(8, 8): 2e9, (4, 4): 1e9}):
        with pytest.raises(ConfigError, match="roofline"):
            Roofline(peaks=peaks)


def test_every_energy_table_that_ships_has_a_source_and_grows_with_bits() -> None:
    assert set(energy_tables()) >= {"horowitz-2014", "bitfusion", "bismo-zynq7000", "bismo-ultrascale"}
    for name in energy_tables():
        table = energy_table(name)
        assert len(table.source) > 20
        values = [table.microjoules(1e6, 1e3, n, n) for n in (1, 2, 4, 8)]
        assert values == sorted(values)
        assert values[0] > 0
    horowitz = energy_table("horowitz-2014")
    assert horowitz.microjoules(1e6, 0, 8, 8) == pytest.approx(0.3)  # 0.2 pJ multiply, 0.1 pJ add
    assert horowitz.microjoules(1e6, 0, 32, 32) == pytest.approx(4.6)
    with pytest.raises(TableError, match="no energy of float"):
        energy_table("bitfusion").microjoules(1, 0, 32, 32)
    with pytest.raises(TableError, match="unknown energy table 'horowitz'"):
        energy_table("horowitz")


def test_a_measured_table_can_be_asked_for_energy_by_table() -> None:
    bare = with_random_table(priced(small()), 0)
    table = bare.table
    assert table is not None
    assert bare.metrics == ("latency", "macs", "params", "size", "memory")
    with pytest.raises(ValueError, match="no energy"):
        bare.cost(bare.space.decode(bare.space.full)).get("energy")
    hardware = WithEnergy(table)
    assert hardware.energy_from == "estimated by the table horowitz-2014, not measured"
    model = CostModel(bare.graph, bare.space, hardware)
    for index in model.space.sample(np.random.default_rng(0), 5):
        policy = model.space.decode(index)
        cost = model.cost(policy)
        assert cost.latency == bare.cost(policy).latency
        assert cost.energy == pytest.approx(sum(map(hardware.energy, model.signatures(index))))
    int8 = np.where(model.space.is_bits, 0, model.space.full)
    prices = model.prices(np.stack([int8, model.space.full]))["energy"]
    assert 0 < prices[0] < prices[1]


@pytest.mark.parametrize(
    ("text", "value"), [("energy<=2mJ", 2e3), ("energy<=5 uJ", 5.0), ("energy<=1J", 1e6), ("energy<=7nJ", 7e-3)]
)
def test_budgets_on_energy_have_units(text: str, value: float) -> None:
    assert Budget.parse(text).value == pytest.approx(value)
    assert Budget.parse(text).metric == "energy"


def test_names_are_those_of_the_devices() -> None:
    for name in ACCELERATORS:
        hardware = make_accelerator(name, batch=4)
        assert isinstance(hardware, Accelerator)
        assert (hardware.device.name, hardware.device.batch) == (name, 4)
        assert hardware.energy_from == f"the model of {name}, not measured"
    assert len(EVERY_PAIR) == 64
    assert issubclass(ConfigError, AutoMCError)
