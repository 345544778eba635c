"""Peak memory of one evaluation of ResNet-56 on 2,000 search images, in a process of its own: imports and all.

Goal: 1.5 GiB, with 512 calibration images. The process says its peak (``ru_maxrss``) after imports, after the model was
read, when the evaluator is ready and when it has evaluated the policy that cuts all widths alike to half of the MACs.
"""

import json
import multiprocessing
import resource
import sys

IMAGES, CALIBRATION = 2000, (512, 2000)


def peak() -> float:
    """Returns the largest resident memory of this process so far, in GiB."""
    unit = 2**30 if sys.platform == "darwin" else 2**20
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 2)


def evaluate(calibration: int) -> dict[str, float]:
    """Returns peaks on the way to one evaluation."""
    from _cifar import cifar_task

    from automc.costs import Budget, CostModel, Projection
    from automc.evaluation import Evaluator, Fidelity
    from automc.graph import build_graph
    from automc.search_spaces import SpaceConfig, build_space
    from automc.tasks import example

    peaks = {"imports": peak()}
    task = cifar_task("resnet56")
    model = task.model()
    graph = build_graph(model, example(task))
    space = build_space(graph, SpaceConfig(depth=False), 1)
    index = Projection(CostModel(graph, space), [Budget.parse("macs<=50%")]).project(space.full)
    peaks["model"] = peak()
    subject = Evaluator(task, model, graph, Fidelity(search_images=IMAGES, calibration_images=calibration))
    peaks["evaluator"] = peak()
    subject.evaluate(space.decode(index))
    return peaks | {"evaluated": peak()}


if __name__ == "__main__":
    for images in CALIBRATION:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(json.dumps({f"{images} calibration images, peak GiB": pool.apply(evaluate, (images,))}))
