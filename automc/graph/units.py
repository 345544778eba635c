"""From layers that share channels to groups: which of their channels go together, one by one or in runs.

Heads of attention and the groups of a convolution or norm go whole. How they lie in the channels of each layer is read
off recorded operators and off layers; what shares channels with such a layer goes in the same runs.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from automc.errors import one_line
from automc.graph.coupled import Coupled, Item, find_coupled
from automc.graph.groups import Counted, Group, Member, Reset, remove_channels
from automc.graph.heads import Attention, find_attentions
from automc.graph.layouts import Layout
from automc.graph.ops import Op, record
from automc.tasks import Inputs, call

_Key = tuple[str, str]


def find_groups(model: nn.Module, inputs: Inputs, ops: Sequence[Op] | None = None) -> list[Group]:
    """Returns the coupled groups of a network, unprobed.

    Args:
        model: the network; it is not changed.
        inputs: example inputs.
        ops: its operators, where they are known.

    Raises:
        TraceError: the network cannot be traced.
    """
    model = copy.deepcopy(model).eval()
    ops = record(model, inputs)[0] if ops is None else ops
    attentions = find_attentions(model, ops)
    coupled = find_coupled(model, inputs, [made for attention in attentions for made in attention.splits])
    order = {op.module: -index for index, op in enumerate(reversed(ops))}
    groups = []
    for part in _parts(coupled, attentions):
        part.coupled.sort(key=lambda one: order.get(one.name, 0))
        if part.attentions or any(item.layout for one in part.coupled for item in one.items):
            groups.append(_in_runs(part, model, inputs))
        else:
            groups.append(_one_by_one(part.coupled[0]))
    return groups


@dataclass
class _Part:
    """What belongs together: more than one root where a grouped convolution or attention lies between them."""

    coupled: list[Coupled]
    attentions: list[Attention] = field(default_factory=list)

    def keys(self) -> set[_Key]:
        items = [item for one in self.coupled for item in one.items]
        through = {(item.module, "through") for item in items if item.layout}
        heads = {(item.module, "out") for item in items if item.role == "out" and item.tensor is None}
        return through | heads


def _parts(coupled: Iterable[Coupled], attentions: Iterable[Attention]) -> list[_Part]:
    parts: list[_Part] = []
    for one in coupled:
        new = _Part([one])
        for part in [part for part in parts if {k for k in part.keys() & new.keys() if k[1] == "through"}]:
            new.coupled = part.coupled + new.coupled
            at = parts.index(part)
            parts[at : at + 1] = []
        parts.append(new)
    for attention in attentions:
        outs = {(name, "out") for name in attention.outs}
        among = [part for part in parts if part.keys() & outs]
        if not among:
            continue
        first = among[0]
        for part in among[1:]:
            first.coupled += part.coupled
            first.attentions += part.attentions
            parts.remove(part)
        first.attentions.append(attention)
    return parts


def _one_by_one(coupled: Coupled) -> Group:
    """Returns the group of which every channel of the root can go for itself."""
    members, strange = [], None
    for item in coupled.items:
        positions: list[list[int]] = [[] for _ in range(coupled.channels)]
        strange = item.strange or strange
        for position, channel in item.pairs:
            if channel is None or position >= item.size:
                strange = strange or f"its channels do not match those of {item.module}"
            else:
                positions[channel].append(position)
        if len({len(several) for several in positions}) > 1:
            strange = strange or f"only some of its channels are in {item.module}"
        members.append(_member(item, positions))
    return Group(coupled.name, coupled.channels, tuple(members), strange)


def _in_runs(part: _Part, model: nn.Module, inputs: Inputs) -> Group:
    """Returns the group of which only heads, or the groups of a convolution or norm, can go."""
    known = {(item.module, item.role): item.layout for one in part.coupled for item in one.items if item.layout}
    for attention in part.attentions:
        known |= {(name, "out"): layout for name, layout in attention.outs.items()}
        known |= {(name, "in"): layout for name, layout in attention.ins.items()}
    units = math.gcd(*(layout.count for layout in known.values()))
    root = part.coupled[-1 if part.attentions else 0]
    unit: Counted = "heads" if part.attentions else "groups"
    if units < 2:
        named = " and ".join(dict.fromkeys(name for name, _ in known))
        return _frozen(root, unit, f"{named} share one of their {unit} only, which cannot go")
    members: list[Member] = []
    strange: str | None = None
    done: set[_Key] = set()
    for one in part.coupled:
        whole = _whole(one, known, units)
        for item in one.items:
            strange = strange or item.strange
            layout = known.get((item.module, item.role)) if item.tensor is None else None
            if item.role == "in" and item.layout is not None and (item.module, "out") in known:
                continue  # a grouped convolution loses inputs and outputs together
            if layout is not None:
                if layout.size != item.size:
                    strange = strange or f"its channels do not match those of {item.module}"
                if (item.module, item.role) not in done:
                    members.append(_member(item, layout.positions(units)))
                done.add((item.module, item.role))
                continue
            runs: list[list[int]] = [[] for _ in range(units)]
            for position, channel in item.pairs:
                if channel is None or whole is None or position >= item.size:
                    strange = strange or f"its channels do not match those of {item.module}"
                    break
                runs[whole[channel]].append(position)
            if len({len(several) for several in runs}) > 1:
                strange = strange or f"only some of its channels are in {item.module}"
            members.append(_member(item, runs))
    for attention in part.attentions:
        for name, layout in attention.ins.items():
            if (name, "in") not in done:
                done.add((name, "in"))
                members.append(_reader(model, name, layout, units))
    group = Group(root.name, units, tuple(members), strange, unit, root.channels // units)
    group = replace(group, members=tuple(sorted(members, key=lambda member: member.module != root.name)))
    for attention in part.attentions:
        if group.frozen is None:
            group = _with_resets(group, attention, model, inputs)
    return group


def _whole(one: Coupled, known: dict[_Key, Layout], units: int) -> list[int] | None:
    """Returns, for each channel of the root, the unit that it belongs to; None where that is not clear."""
    for item in one.items:
        layout = known.get((item.module, item.role)) if item.tensor is None else None
        if layout is None or layout.size != item.size:
            continue
        unit_of = {position: unit for unit, run in enumerate(layout.positions(units)) for position in run}
        whole: dict[int, set[int]] = {}
        for position, channel in item.pairs:
            if channel is not None and position in unit_of:
                whole.setdefault(channel, set()).add(unit_of[position])
        if len(whole) == one.channels and all(len(several) == 1 for several in whole.values()):
            return [whole[channel].pop() for channel in range(one.channels)]
    return None


def _frozen(root: Coupled, unit: Counted, reason: str) -> Group:
    return replace(_one_by_one(root), frozen=reason, unit="channels" if unit != "heads" else unit)


def _member(item: Item, positions: Iterable[Iterable[int]]) -> Member:
    return Member(item.module, item.role, item.prune, tuple(tuple(several) for several in positions), item.tensor)


def _reader(model: nn.Module, name: str, layout: Layout, units: int) -> Member:
    import torch_pruning

    linear = isinstance(model.get_submodule(name), nn.Linear)
    prune = torch_pruning.prune_linear_in_channels if linear else torch_pruning.prune_conv_in_channels
    return Member(name, "in", prune, layout.positions(units))


@torch.no_grad()
def _with_resets(group: Group, attention: Attention, model: nn.Module, inputs: Inputs) -> Group:
    """Returns the group with the numbers that its attention remembers of its heads.

    Those whose name says heads always fall with them; others that equal its width only if it does not run otherwise.
    """
    units = group.channels
    layouts = [*attention.outs.values(), *attention.ins.values()]
    counts = {layout.count for layout in layouts}
    widths = {layout.size for layout in layouts}
    each = {layout.size // layout.count for layout in layouts}
    named, wide = [], []
    for name in attention.modules:
        for attribute, value in vars(model.get_submodule(name)).items():
            if type(value) is not int or value % units or value not in counts | widths:
                continue
            reset = Reset(name, attribute, value // units)
            says = "head" in attribute and not (value in each and ("dim" in attribute or "size" in attribute))
            if says and not attribute.endswith("groups"):
                named.append(reset)
            elif value in widths:
                wide.append(reset)
    error = ""
    for resets in [named, named + wide] if wide else [named]:
        tried = replace(group, resets=group.resets + tuple(resets))
        smaller = copy.deepcopy(model)
        try:
            remove_channels(smaller, [tried], {group.name: [units - 1]})
            call(smaller, inputs)
            return tried
        except Exception as caught:
            error = error or one_line(caught, 120)
    where = attention.modules[0] or "the network"
    return replace(group, frozen=f"the attention of {where} does not run with fewer heads: {error}")
