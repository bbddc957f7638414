"""Writes the model of the test of float tails, and prints what ONNX Runtime answers.

    .venv/bin/python float_tail.py ../tests/data/float_tail.onnx
"""

import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def model() -> onnx.ModelProto:
    constants = {
        "s": np.float32(0.05),
        "z": np.uint8(128),
        "two": np.array([2, 3], np.int64),
        "c": np.array([0.5], np.float32),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
        helper.make_node("Reshape", ["y", "two"], ["r"]),
        helper.make_node("Softmax", ["r"], ["p"], axis=1),
        helper.make_node("ArgMax", ["p"], ["a"], axis=1, keepdims=0),
        helper.make_node("Mul", ["y", "c"], ["m"]),
        helper.make_node("Tanh", ["m"], ["t"]),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "float_tail",
        [info("x", TensorProto.FLOAT, [1, 6])],
        [
            info("p", TensorProto.FLOAT, [2, 3]),
            info("a", TensorProto.INT64, [2]),
            info("t", TensorProto.FLOAT, [1, 6]),
        ],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    return made


def main() -> None:
    made = model()
    onnx.save(made, sys.argv[1])
    session = onnxruntime.InferenceSession(made.SerializeToString())
    x = np.array([[0.3, -1.2, 2.0, 0.0, 0.51, 0.5]], np.float32)
    for value in session.run(None, {"x": x}):
        print(value.tolist())


if __name__ == "__main__":
    main()
