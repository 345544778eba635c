"""What a network consists of: its operators and shapes, and what of it can be removed."""

from automc.graph.blocks import Block
from automc.graph.build import ModelGraph, Weight, build_graph
from automc.graph.groups import Group, Member
from automc.graph.layers import Layer
from automc.graph.ops import Op

__all__ = ["Block", "Group", "Layer", "Member", "ModelGraph", "Op", "Weight", "build_graph"]
