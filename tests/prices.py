"""Random networks with a metric and its prices, for what has to agree with the cost model."""

from collections.abc import Sequence

from hypothesis import strategies as st

from automc.costs import CostModel
from automc.graph import build_graph
from automc.latency_tables.simulated import make_accelerator
from automc.search_spaces import SpaceConfig, build_space
from tests.networks import networks, priced, with_random_table

Priced = tuple[CostModel, str]
"""A cost model, and the metric to look at."""

seeds = st.integers(0, 2**16)


@st.composite
def on_a_processor(draw: st.DrawFn, metrics: Sequence[str]) -> Priced:
    """Widths and int8."""
    return priced(draw(networks())), draw(st.sampled_from(metrics))


@st.composite
def with_latency(draw: st.DrawFn) -> Priced:
    """Widths and int8, on a processor whose latencies know no order."""
    return with_random_table(priced(draw(networks(grouped=False))), draw(seeds)), "latency"


@st.composite
def with_simulated_bits(draw: st.DrawFn) -> Priced:
    """Bits of each layer that no device here runs."""
    bits = draw(st.sets(st.sampled_from([2, 3, 8, 32]), min_size=1))
    model = priced(draw(networks()), SpaceConfig(min_keep=0.01, bits=tuple(bits), simulate=True))
    return model, draw(st.sampled_from(["params", "size"]))


@st.composite
def on_an_accelerator(draw: st.DrawFn) -> Priced:
    """Bits of each layer, on paper."""
    hardware, graph = make_accelerator("bismo-cloud"), build_graph(*draw(networks()))
    space = build_space(graph, SpaceConfig(min_keep=0.01, bits=(2, 5, 8)), 1, hardware.device.precisions)
    return CostModel(graph, space, hardware), draw(st.sampled_from(["latency", "energy", "size"]))
