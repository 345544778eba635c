"""ResNet-56 on CIFAR-10 with every layer in int8: what is lost, whether deployed is what was simulated, what runs."""

import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from _cifar import cifar_task

from automc.compression import quantize
from automc.devices import LocalBench, time_models
from automc.graph import build_graph
from automc.recipes import export_onnx
from automc.recipes.deployed import deployed_outputs, feeds
from automc.recipes.onnx_file import int8_layers
from automc.search_spaces.policy import INT8_BITS
from automc.tasks import example
from automc.tasks.loops import predict

NETWORK, CALIBRATION = "resnet56", 512

if __name__ == "__main__":
    torch.set_num_threads(2)
    task, bench = cifar_task(NETWORK), LocalBench()
    model, one = task.model(), example(task)
    layers = [layer.name for layer in build_graph(model, one).layers]
    quantized = quantize(model, example(task, CALIBRATION), dict.fromkeys(layers, INT8_BITS))
    outputs, labels = predict(quantized, task.batches("test"))
    original, _ = predict(model, task.batches("test"))
    batches = [inputs for inputs, _ in task.batches("test")]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"]
        for network, file in zip((model, quantized), files, strict=True):
            export_onnx(network, one, file)
        deployed = [deployed_outputs(file, batches, bench.device)[0] for file in files]
        found = int8_layers(files[1])
        timing = time_models(bench, files, [feeds(one)] * 2)[1]
        sizes = [file.stat().st_size for file in files]
    top1 = {
        "float32, simulated": original,
        "float32, deployed": deployed[0],
        "int8, simulated": outputs,
        "int8, deployed": deployed[1],
    }
    answer = {name: round(float((np.asarray(o).argmax(1) == labels.numpy()).mean()), 4) for name, o in top1.items()}
    answer["same top-1 deployed and simulated"] = float((deployed[1].argmax(1) == outputs.numpy().argmax(1)).mean())
    answer["layers"], answer["asked to be int8"], answer["run as int8"] = found.layers, len(found.asked), len(found.run)
    answer["measured latency, share of float32 (quartiles)"] = [timing.ratio_low, timing.ratio, timing.ratio_high]
    answer["file, share of float32"] = round(sizes[1] / sizes[0], 3)
    print(json.dumps(answer, indent=1))
