"""Campaigns with all that an archive takes along, made up by hand."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from safetensors.torch import save_file

from automc import files
from automc.campaigns.campaign import Campaign
from automc.campaigns.storage import Storage
from automc.recipes import Figures, Recipe, Weights, save_recipe
from tests.results import make_result
from tests.storages import ABOUT, CONFIG, TIMING, add, evaluated, policy

RESULTS = ["model.onnx", "model.safetensors", "recipe.yaml", "report.html", "result.json"]


def make_onnx(path: Path) -> None:
    one = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    other = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", [one], [other])), path)


def make_results(out: Path) -> None:
    """Leaves what a finished campaign leaves."""
    out.mkdir()
    result = make_result(4)
    files.write_text(out / "result.json", result.model_dump_json(indent=1))
    save_file({"weight": torch.zeros(3)}, out / "model.safetensors")
    make_onnx(out / "model.onnx")
    (out / "model.pt2").write_bytes(b"a program")
    (out / "report.html").write_text("<script>alert(1)</script>")
    recipe = Recipe(
        task="digits",
        metric="top-1",
        model_digest="0" * 64,
        policy={"conv1": {"channels": 8}},
        kept={},
        weights=Weights(file="model.safetensors", sha256=files.digest(out / "model.safetensors")),
        device=result.device,
        budgets=["macs<=50%"],
        figures=Figures(macs=1, params=1, size=1),
        original=Figures(macs=2, params=2, size=2),
        agent="tpe",
        seed=0,
        evaluations=4,
        created_at="2026-01-01T00:00:00+00:00",
        versions={},
    )
    save_recipe(recipe, out / "recipe.yaml")


def finished(storage: Storage, out: Path, name: str = "there") -> Campaign:
    """Returns a campaign with evaluations of all kinds, which was driven twice, and its results."""
    campaign = Campaign.create(storage, name, CONFIG, Path(), out)
    campaign.begin(ABOUT, False, 10, 1)
    for _ in range(2):
        campaign.drive().close()
    for done in (evaluated(0), evaluated(2, failed=True), evaluated(1), evaluated(3, extra=True), evaluated(0, "tpe")):
        add(campaign, done)
    campaign.journal.measured(evaluated(1), TIMING)
    campaign.journal.begin("tpe", 1, policy(1))
    campaign.journal.died("tpe", 1, 2)
    campaign.end("finished")
    make_results(out)
    return campaign
