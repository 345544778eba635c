"""An addition and the layer norm behind it: fused by ONNX Runtime (Add), and apart, as they are exported here (Sum).

Microseconds of 65 positions by the runtime's profile, which overstates each operator by one or two; one thread.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

POSITIONS, RUNS, WARMUP = 65, 200, 50


def model(kind: str, channels: int) -> bytes:
    ones = [numpy_helper.from_array(np.ones(channels, np.float32), name) for name in "sb"]
    shape = [1, POSITIONS, channels]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    nodes = [
        helper.make_node("Neg", ["x"], ["one"]),
        helper.make_node("Abs", ["x"], ["other"]),
        helper.make_node(kind, ["one", "other"], ["sum"]),
        helper.make_node("LayerNormalization", ["sum", "s", "b"], ["normed"], axis=-1),
        helper.make_node("Neg", ["normed"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "sum", ends[:1], ends[1:], ones)
    opset = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()


def microseconds(kind: str, channels: int, folder: str) -> float:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_profiling = True
    options.profile_file_prefix = f"{folder}/profile"
    session = onnxruntime.InferenceSession(model(kind, channels), options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).standard_normal((1, POSITIONS, channels)).astype(np.float32)
    for _ in range(RUNS):
        session.run(None, {"x": x})
    found: dict[str, list[int]] = {}
    for event in json.loads(Path(session.end_profiling()).read_text()):
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            found.setdefault(event["args"]["op_name"], []).append(event["dur"])
    return sum(float(np.mean(us[WARMUP:])) for name, us in found.items() if name not in ("Neg", "Abs"))


if __name__ == "__main__":
    print("| channels | Add, fused | Sum, apart | ratio |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for channels in (64, 128, 256, 512):
            fused, apart = (microseconds(kind, channels, folder) for kind in ("Add", "Sum"))
            print(f"| {channels} | {fused:.1f} | {apart:.1f} | {fused / apart:.1f} |")
