"""Which models a device loads: told from the bytes of a file, without the onnx package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from automc.devices.server import onnx_bytes
from automc.devices.server.onnx_bytes import DOMAINS, Refused, check_model
from automc.latency_tables import Signature
from automc.latency_tables.micro import side_by_side
from tests.remote import bad_models, constant, inside_a_branch


@pytest.mark.parametrize("name", bad_models())
def test_a_model_that_could_read_or_run_more_is_refused(name: str, tmp_path: Path) -> None:
    content, said = bad_models()[name]
    (tmp_path / "m.onnx").write_bytes(content.SerializeToString())
    with pytest.raises(Refused, match=said) as caught:
        check_model(tmp_path / "m.onnx")
    assert "\n" not in str(caught.value)


def reached(message: Any, seen: set[str]) -> Iterator[tuple[str, int, str]]:
    """Yields message, field and what it holds, for all that may hold tensors, operators or domains of operators."""
    for field in message.fields:
        inner = field.message_type
        if inner is not None and inner.name not in seen:
            seen.add(inner.name)
            yield from reached(inner, seen)
        yield message.name, field.number, inner.name if inner else field.name


def test_every_way_to_a_tensor_and_a_domain_that_onnx_has_is_looked_at() -> None:
    found = set(reached(onnx.ModelProto.DESCRIPTOR, {"ModelProto"}))
    holders = {"TensorProto", "SparseTensorProto", "AttributeProto", "NodeProto", "GraphProto", "FunctionProto"}
    holders |= {"TrainingInfoProto"}
    ways = {way for way in found if way[2] in holders}
    names = dict(zip("model training function graph node attribute sparse tensor".split(), PROTOS, strict=True))
    looked = {(names[m], n, names[i]) for m, inside in onnx_bytes._INSIDE.items() for n, i in inside.items()}
    assert looked == ways
    assert {way[:2] for way in found if way[2] == "domain"} - {
        ("ModelProto", 4),  # the model's own name
        ("OperatorSetIdProto", 1),  # what operators may be of; whether one is, it says itself
        ("Opaque", 1),  # a type
    } == {(names[m], n) for m, n in onnx_bytes._DOMAIN.items()}


PROTOS = (
    "ModelProto TrainingInfoProto FunctionProto GraphProto NodeProto AttributeProto SparseTensorProto TensorProto"
).split()


def tensors_and_domains(message: Any) -> Iterator[Any]:
    """Yields all tensors of a message, and the domains of its operators and functions."""
    if isinstance(message, TensorProto):
        yield message
    if isinstance(message, onnx.NodeProto | onnx.FunctionProto):
        yield message.domain.encode()
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in value if field.is_repeated else [value]:
                yield from tensors_and_domains(each)


@settings(max_examples=300)
@given(st.sampled_from(sorted(bad_models())), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3))
def test_no_damage_hides_what_a_model_reads(tmp_path_factory: pytest.TempPathFactory, name: str, edits: Any) -> None:
    content = bytearray(bad_models()[name][0].SerializeToString())
    for place, value in edits:
        content[place % len(content)] = value
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(content)
    try:
        check_model(path)
    except Refused as error:
        assert "\n" not in str(error)
        return
    try:
        whole = onnx.load_model_from_string(bytes(content))
    except DecodeError:  # nor does the runtime read it
        return
    found = list(tensors_and_domains(whole))
    assert all(each in DOMAINS for each in found if isinstance(each, bytes))
    assert not any(each.external_data or each.data_location for each in found if isinstance(each, TensorProto))


def test_models_of_ours_are_let_through(tmp_path: Path) -> None:
    lines = (
        "int8.conv 8,8 d=1x1 g=1 hw=8x8 k=3x3 n=1 p=1x1 s=1x1",
        "linear 64,10 n=1",
        "quantize 8 after=4x4 before=1",
    )
    (tmp_path / "m.onnx").write_bytes(side_by_side([Signature.parse(line) for line in lines]))
    check_model(tmp_path / "m.onnx")
    onnx.save(
        inside_a_branch(constant(helper.make_tensor("w", TensorProto.FLOAT, [8], [1.0] * 8))), tmp_path / "m.onnx"
    )
    check_model(tmp_path / "m.onnx")
