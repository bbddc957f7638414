"""Nets that PyTorch exported (`make_torch.py`), with samples for them."""

import json
import zlib
from pathlib import Path

import numpy as np
import onnx

from nets import Net

FOLDER = Path(__file__).parent / "torch"
SAMPLES = 24
# All that are committed: a file that is lost would else go unnoticed.
COUNT = 71


def torch_nets():
    below = json.loads((FOLDER / "ids.json").read_text())
    found = []
    for path in sorted(FOLDER.glob("*.onnx")):
        name = path.name.removesuffix(".onnx")
        model = onnx.load(path)
        rng = np.random.default_rng(zlib.crc32(name.partition(".")[0].encode()))
        samples = {}
        for value in model.graph.input:
            tensor = value.type.tensor_type
            shape = (SAMPLES, *(dim.dim_value for dim in tensor.shape.dim))
            if tensor.elem_type == onnx.TensorProto.INT64:
                samples[value.name] = rng.integers(0, below[name.partition(".")[0]], shape)
            else:
                samples[value.name] = rng.standard_normal(shape).astype(np.float32)
        found.append(Net(f"torch_{name}", "torch", model, samples))
    if len(found) != COUNT:
        raise SystemExit(f"{len(found)} nets in {FOLDER}, {COUNT} are expected")
    return found
