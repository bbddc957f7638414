"""Writes models/quorum.onnx: a quantized layer of five sensors, and a vote on its outputs."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(1)


def constant(name, value, dtype):
    return numpy_helper.from_array(np.asarray(value, dtype), name)


nodes = [
    helper.make_node("QuantizeLinear", ["x", "x_s", "x_z"], ["xq"]),
    helper.make_node(
        "QLinearMatMul",
        ["xq", "x_s", "x_z", "w", "w_s", "w_z", "y_s", "y_z"],
        ["yq"],
    ),
    helper.make_node("DequantizeLinear", ["yq", "y_s", "y_z"], ["y"]),
    helper.make_node(
        "Quorum", ["y"], ["agreed"], domain="org.example", level=0.5, quorum=3
    ),
]
weights = RNG.integers(-60, 61, (8, 5))
graph = helper.make_graph(
    nodes,
    "quorum",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 8])],
    [helper.make_tensor_value_info("agreed", TensorProto.BOOL, [2, 1])],
    [
        constant("x_s", 0.02, np.float32),
        constant("x_z", 10, np.uint8),
        constant("w", weights, np.int8),
        constant("w_s", 0.01, np.float32),
        constant("w_z", 0, np.int8),
        constant("y_s", 0.03, np.float32),
        constant("y_z", 120, np.uint8),
    ],
)
opsets = [helper.make_opsetid("", 13), helper.make_opsetid("org.example", 1)]
model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
onnx.save(model, "models/quorum.onnx")
