"""HAQ's released array of costs beside our BISMO cloud: what it is, and which assumption explains how much of it.

HAQ (Wang et al., CVPR 2019; github.com/mit-han-lab/haq) released no simulator, only an array for MobileNetV2 at batch
16 on its cloud device, int64 (53, 8, 8): layer x (weight bits - 1) x (activation bits - 1). Its path is the argument,
or AUTOMC_HAQ_ARRAY. No number is fitted: the model starts with what the papers say and gets one assumption, read off
the array, after another.
"""

import argparse
import json
import os
from math import ceil
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from automc.costs import CostModel
from automc.graph import build_graph
from automc.latency_tables.products import Product, products_of
from automc.latency_tables.simulated import CLOUD, Bismo, make_accelerator
from automc.models import MobileNetV1, MobileNetV2
from automc.search_spaces import SpaceConfig, build_space

BATCH, MHZ = 16, CLOUD.mhz
PUBLISHED_MS = {4: 74.0, 5: 99.1, 6: 127.0, 8: 189.8}  # HAQ, table of BISMO cloud, MobileNet-V2
MOBILENET_V1 = {  # HAQ's tables for MobileNet-V1, uniform bits: latency in ms, energy in mJ
    "bismo-edge": {"ms at 4, 5, 6, 8 bits": [45.5, 57.7, 70.4, 96.2]},
    "bitfusion": {"ms at 4, 5, 6 bits": [7.86, 11.09, 19.98], "mJ at 4, 5, 6 bits": [13.7, 16.3, 26.7]},
}
UNIFORM = (2, 4, 6)
STEPS = (
    "bit-serial array alone: ceil(m/16) ceil(k/256) ceil(n/16) w a",
    "and three ports of 256 bits, side by side",
    "and operands padded to words of 256 bits in memory",
    "and images one after the other, weights fetched for each",
    "and depthwise channels 16 at a time",
    "and waiting for first and last tile (the model that ships)",
)


def cycles(hardware: Bismo, product: Product, w: int, a: int, step: int) -> float:
    """What a product costs with the assumptions up to a step."""
    if step == len(STEPS) - 1:
        return hardware.cycles(product, w, a)
    array = hardware.array
    one, repeats = (hardware.packed(product) if step >= 4 else product), product.images
    if step < 3:
        one = Product(one.m, one.k, one.n * repeats, one.groups, 1, one.inputs)
        repeats = 1
    words = ceil(one.k / array.depth)
    depth = words * array.depth if step >= 2 else one.k
    computing = ceil(one.m / array.rows) * ceil(one.n / array.columns) * words * w * a
    fetching = max(one.m * depth * w, one.n * depth * a, one.m * one.n * a) / array.port_bits if step >= 1 else 0.0
    return repeats * one.groups * max(computing, fetching)


def compared(ours: np.ndarray, theirs: np.ndarray) -> dict[str, object]:
    ratio = ours / theirs
    return {
        "uniform 2, 4, 6 bits over 8 bits, first and last layer at 8": [round(uniform(ours, n), 4) for n in UNIFORM],
        "all at 8 bits, over the array": round(float(ours[:, 7, 7].sum() / theirs[:, 7, 7].sum()), 4),
        "entries within 2%": round(float((abs(ratio - 1) < 0.02).mean()), 3),
        "relative error, RMS": round(float(np.sqrt(((ratio - 1) ** 2).mean())), 4),
        "ratio, smallest and largest": [round(float(ratio.min()), 3), round(float(ratio.max()), 3)],
        "rank correlation within layers, mean and smallest": ranked(
            [spearmanr(one.ravel(), other.ravel())[0] for one, other in zip(ours, theirs, strict=True)]
        ),
        "rank correlation of layers at 8 bits": round(float(spearmanr(ours[:, 7, 7], theirs[:, 7, 7])[0]), 4),
        "ms without first and last layer at 4, 5, 6, 8 bits": [round(inner(ours, n), 1) for n in PUBLISHED_MS],
    }


def ranked(values: list[float]) -> list[float]:
    return [round(float(np.mean(values)), 4), round(float(np.min(values)), 4)]


def uniform(costs: np.ndarray, n: int) -> float:
    total = costs[1:-1, n - 1, n - 1].sum() + costs[[0, -1], 7, 7].sum()
    return float(total / costs[:, 7, 7].sum())


def inner(costs: np.ndarray, n: int) -> float:
    return float(costs[1:-1, n - 1, n - 1].sum() / MHZ / 1e3)


def explained(theirs: np.ndarray, kinds: list[str]) -> dict[str, object]:
    """Least squares of each layer's 64 costs on 1, w, a, w a: the share of each term at 8/8, by kind of layer."""
    w, a = (axis.ravel().astype(float) for axis in np.meshgrid(range(1, 9), range(1, 9), indexing="ij"))
    terms = np.stack([np.ones(64), w, a, w * a], axis=1)
    found: dict[str, list[np.ndarray]] = {}
    for costs, kind in zip(theirs.reshape(53, 64), kinds, strict=True):
        scales = np.linalg.lstsq(terms, costs, rcond=None)[0] * [1, 8, 8, 64] / costs[-1]
        fit = (
            1
            - ((terms @ (scales * costs[-1] / [1, 8, 8, 64]) - costs) ** 2).sum() / ((costs - costs.mean()) ** 2).sum()
        )
        found.setdefault(kind, []).append(np.append(scales, fit))
    names = ("fixed", "times w", "times a", "times w a", "R2")
    return {
        kind: {"layers": len(rows)} | dict(zip(names, np.mean(rows, axis=0).round(3).tolist(), strict=True))
        for kind, rows in found.items()
    }


def mobilenet_v1(name: str) -> dict[str, list[float]]:
    """Latency and energy of one image at uniform bits on a device, without first and last layer as on the cloud."""
    hardware = make_accelerator(name)
    graph = build_graph(MobileNetV1().eval(), torch.zeros(1, 3, 224, 224), limit_s=0)
    space = build_space(graph, SpaceConfig(width=False, depth=False, bits=(8, 7)), 1, hardware.device.precisions)
    inner = CostModel(graph, space, hardware).signatures(space.full)[1:-1]
    return {
        "ms at 4, 5, 6, 8 bits": [
            round(sum(hardware.cost(s.at_bits(n, n)) for s in inner) / 1e3, 2) for n in PUBLISHED_MS
        ],
        "mJ at 4, 5, 6, 8 bits": [
            round(sum(hardware.energy(s.at_bits(n, n)) for s in inner) / 1e3, 2) for n in PUBLISHED_MS
        ],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("array", nargs="?", default=os.environ.get("AUTOMC_HAQ_ARRAY"), type=Path)
    path = parser.parse_args().array
    if path is None:
        parser.error("give the array's path, or set AUTOMC_HAQ_ARRAY")
    theirs = np.load(path).astype(float)
    torch.set_num_threads(1)
    hardware = Bismo("bismo-cloud", CLOUD, BATCH)
    # shapes are all that counts, and no group needs its probe
    graph = build_graph(MobileNetV2().eval(), torch.zeros(BATCH, 3, 224, 224), limit_s=0)
    space = build_space(graph, SpaceConfig(width=False, depth=False, bits=(8, 7)), 1, hardware.device.precisions)
    signatures = CostModel(graph, space, hardware).signatures(space.full)
    products = [product for signature in signatures for product in products_of(signature)]
    assert len(products) == len(theirs)
    kinds = [
        f"{signature.kind}, {product.n} pixels" if product.n > 49 or "dw" in signature.kind else signature.kind
        for signature, product in zip(signatures, products, strict=True)
    ]
    results: dict[str, object] = {"the array": compared(theirs, theirs), "published, ms": list(PUBLISHED_MS.values())}
    for step, name in enumerate(STEPS):
        ours = [[[cycles(hardware, p, w, a, step) for a in range(1, 9)] for w in range(1, 9)] for p in products]
        results[name] = compared(np.array(ours), theirs)
    results["the array explained by bits, shares at 8/8"] = explained(theirs, kinds)
    furthest = np.abs(np.array(ours) / theirs - 1).max(axis=(1, 2))
    results["furthest off, of the model that ships"] = {
        f"{i}: {signatures[i].kind} {signatures[i].channels}": round(float(furthest[i]), 3)
        for i in np.argsort(-furthest)[:6]
    }
    results["MobileNet-V1"] = {
        name: {"published": published, "ours": mobilenet_v1(name)} for name, published in MOBILENET_V1.items()
    }
    print(json.dumps(results, indent=1))
