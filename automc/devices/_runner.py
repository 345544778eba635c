# mypy: ignore-errors
"""Runs models in a process of its own, with ONNX Runtime and NumPy and nothing of AutoMC.

Called as ``python _runner.py REQUEST.json``. The request names an action, a folder to answer in, and its arguments;
each finished step prints a line, for the parent's progress bar.
"""

import base64
import json
import os
import sys
import threading
import time
from pathlib import Path

sys.modules["automc"] = None  # what runs here must not need it

import numpy as np  # noqa: E402 - only after automc is barred

_pool = []  # the size of the pool that all sessions share, once it was made


def _load(path, threads, profile=None, optimized=None):
    """Returns a function from a dict of arrays to a list of arrays, and the session where there is one."""
    if path.endswith(".pt2"):
        import torch

        torch.set_num_threads(threads)
        program = torch.export.load(path).module()

        def run(feeds):
            with torch.no_grad():
                tensors = {name: torch.from_numpy(array) for name, array in feeds.items()}
                result = program(*tensors.values()) if list(tensors) == ["input"] else program(**tensors)
            return [leaf.numpy() for leaf in torch.utils._pytree.tree_leaves(result) if torch.is_tensor(leaf)]

        return run, None
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if threads == 1:
        options.intra_op_num_threads = 1
    else:
        # one pool for all sessions: threads of a pool spin after each run and would slow the session whose turn is next
        if not _pool:
            onnxruntime.set_global_thread_pool_sizes(threads, 1)
            _pool.append(threads)
        options.use_per_session_threads = False
    options.log_severity_level = 3
    if profile:
        options.enable_profiling = True
        options.profile_file_prefix = profile
    if optimized:
        options.optimized_model_filepath = optimized
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda feeds: session.run(None, feeds), session


def profile(answer, models, threads, runs, warmup, passes, graphs):
    """Writes, for each model, the microseconds that each of its nodes took, run by run, in each pass.

    ``graphs`` names the models, by number, whose graph as the runtime rewrote it is wanted too, as base64.
    """
    generator = np.random.default_rng(0)
    result = [{"passes": [], "graph": None} for _ in models]
    for _ in range(passes):
        for number, path in enumerate(models):
            wanted = number in graphs and not result[number]["passes"]
            optimized = answer / "optimized.onnx" if wanted else None
            run, session = _load(path, threads, str(answer / "profile"), str(optimized) if wanted else None)
            if wanted:
                result[number]["graph"] = base64.b64encode(optimized.read_bytes()).decode()
            feeds = {
                item.name: generator.standard_normal(item.shape).astype(np.float32) for item in session.get_inputs()
            }
            for _ in range(warmup + runs):
                run(feeds)
            file = Path(session.end_profiling())
            nodes = {}
            for event in json.loads(file.read_text()):
                name = event["name"]
                if event["cat"] == "Node" and name.endswith("_kernel_time"):
                    nodes.setdefault(name.removesuffix("_kernel_time"), []).append(event["dur"])
            file.unlink()
            result[number]["passes"].append({name: durations[warmup:] for name, durations in nodes.items()})
            print("step", flush=True)
    (answer / "answer.json").write_text(json.dumps(result))


def clock(answer, models, threads, runs, passes, warmup=3, powercap="/sys/class/powercap"):
    """Writes, for each model and pass, the microseconds of each run, and those of energy; models take turns in a pass.

    Where the counters in the folder ``powercap`` can be read, a model runs on, untimed, until 20 ms have passed: they
    tick about every millisecond, so that what a tick is off by stays below a tenth.
    """
    counters = _energy_counters(powercap)
    loaded = []
    for number, path in enumerate(models):
        feeds = dict(np.load(answer / f"inputs{number}.npz", allow_pickle=False))
        loaded.append((_load(path, threads)[0], feeds))
    for run, feeds in loaded:
        for _ in range(warmup * 5):
            run(feeds)
    result = [[] for _ in models]
    energy = [[] for _ in models] if counters else None
    for _ in range(passes):
        for number, (run, feeds) in enumerate(loaded):
            for _ in range(warmup):
                run(feeds)
            times = []
            began, before = time.perf_counter_ns(), _read(counters)
            for _ in range(runs):
                start = time.perf_counter_ns()
                run(feeds)
                times.append((time.perf_counter_ns() - start) / 1000)
            result[number].append(times)
            if counters:
                count = runs
                while time.perf_counter_ns() - began < _ENERGY_NS:
                    run(feeds)
                    count += 1
                spent = sum((b - a) % most for a, b, (_, most) in zip(before, _read(counters), counters, strict=True))
                energy[number].append(spent / count)
        print("step", flush=True)
    (answer / "answer.json").write_text(json.dumps({"us": result, "uj": energy}))


_ENERGY_NS = 20_000_000


def _energy_counters(folder):
    """Returns the file of each processor package's energy, in microjoules, and where it starts anew; none if barred."""
    found = []
    try:
        for package in sorted(Path(folder).glob("intel-rapl:*")):  # AMD's are called so too
            if package.name.count(":") == 1 and (package / "name").read_text().startswith("package"):
                file = package / "energy_uj"
                int(file.read_text())
                found.append((file, int((package / "max_energy_range_uj").read_text()) + 1))
    except (OSError, ValueError):
        return []
    return found


def _read(counters):
    return [int(file.read_text()) for file, _ in counters]


def _pin(threads):
    """Keeps this process on as many cores as it has threads: the idlest of the fastest. Moving on empties caches."""
    try:
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) > threads:
            before = _busy()
            time.sleep(_LOOK_S)
            load = {core: busy - before[core] for core, busy in _busy().items()}
            cores.sort(key=lambda core: (-_speed(core), load[core], -core))
            os.sched_setaffinity(0, cores[:threads])
    except (AttributeError, OSError, ValueError, KeyError):  # not Linux, or it may not: then it runs where it is put
        pass


_LOOK_S = 0.1


def _busy():
    """Returns the ticks that each core has worked."""
    found = {}
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("cpu") and line[3].isdigit():
            name, *ticks = line.split()
            found[int(name[3:])] = sum(map(int, ticks)) - int(ticks[3]) - int(ticks[4])
    return found


def _speed(core):
    """Returns how fast a core is beside the others of its machine; 0 where the kernel does not say."""
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        try:
            return int(Path(f"/sys/devices/system/cpu/cpu{core}/{name}").read_text())
        except (OSError, ValueError):
            continue
    return 0


def nodes(answer, models, threads):
    """Writes the operator and name of each node of the runtime's optimized graph of one model."""
    import onnx

    optimized = str(answer / "optimized.onnx")
    _load(models[0], threads, optimized=optimized)
    found = onnx.load(optimized, load_external_data=False).graph.node
    print("step", flush=True)
    (answer / "answer.json").write_text(json.dumps([(node.op_type, node.name) for node in found]))


def predict(answer, models, threads, batches):
    """Writes the outputs of one model on each batch of inputs, concatenated along the batch."""
    run, session = _load(models[0], threads)
    size = session.get_inputs()[0].shape[0] if session else None
    parts = []
    for number in range(batches):
        feeds = dict(np.load(answer / f"inputs{number}.npz", allow_pickle=False))
        if isinstance(size, int):  # exported for one batch size only
            parts.extend(_in_pieces(run, feeds, size))
        else:
            parts.append(run(feeds))
        print("step", flush=True)
    np.savez(answer / "outputs.npz", *(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
    (answer / "answer.json").write_text("{}")


def _in_pieces(run, feeds, size):
    """Yields the outputs for pieces of a batch; the last is filled up, and what was added is cut off again."""
    count = len(next(iter(feeds.values())))
    for start in range(0, count, size):
        piece = {name: array[start : start + size] for name, array in feeds.items()}
        missing = size - len(next(iter(piece.values())))
        full = {name: np.concatenate([array, array[:1].repeat(missing, 0)]) for name, array in piece.items()}
        yield [output[: size - missing] for output in run(full)]


def _bound(memory):
    """Lets this process have so many bytes of memory at most, and end when its parent does; None is no limit.

    A parent that is killed closes the pipe that is our standard input.
    """
    if memory is not None:
        import resource  # not on every platform

        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()


if __name__ == "__main__":
    request = json.loads(Path(sys.argv[1]).read_text())
    _bound(request.pop("memory", None))
    actions = {"profile": profile, "clock": clock, "nodes": nodes, "predict": predict}
    action = request.pop("action")
    if action in ("profile", "clock"):
        _pin(request["threads"])
    actions[action](Path(sys.argv[1]).parent, **request)
