"""Writes tests/tests/data/float_head.onnx and prints what ONNX Runtime answers.

    float_head.py

A model whose integers come from a float head: features that are scaled, then two decision trees for three classes.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

PATH = Path(__file__).parents[1] / "tests" / "data" / "float_head.onnx"
ROWS = ([3.0, 1500.0, -0.25], [4.0, 1500.5, 0.25], [float("nan"), 900.0, 0.0])


def model():
    nodes = {"treeids": [0] * 5 + [1] * 3, "nodeids": [0, 1, 2, 3, 4, 0, 1, 2],
             "featureids": [0, 0, 1, 0, 0, 2, 0, 0], "values": [0.5, 0, 1.0, 0, 0, 0.0, 0, 0],
             "modes": ["BRANCH_LEQ", "LEAF", "BRANCH_LT", "LEAF", "LEAF", "BRANCH_LEQ", "LEAF", "LEAF"],
             "truenodeids": [1, 0, 3, 0, 0, 1, 0, 0], "falsenodeids": [2, 0, 4, 0, 0, 2, 0, 0]}  # fmt: skip
    leaves = {"treeids": [0, 0, 0, 1, 1, 0, 0, 0, 1, 1], "nodeids": [1, 3, 4, 1, 2] * 2,
              "ids": [0, 1, 2, 0, 1] + [1, 2, 0, 2, 2], "weights": [0.75, 0.5, 1.0, 0.25, 0.125, 0.25, 0.5, 0.0, 0.75, 0.875]}  # fmt: skip
    attributes = {f"nodes_{name}": values for name, values in nodes.items()}
    attributes |= {f"class_{name}": values for name, values in leaves.items()}
    trees = helper.make_node(
        "TreeEnsembleClassifier", ["s"], ["label", "scores"], "trees", domain="ai.onnx.ml",
        classlabels_int64s=[10, 20, 30], post_transform="NONE", **attributes,
    )  # fmt: skip
    constants = [
        numpy_helper.from_array(np.array([1.0, 1000.0, 0.0], np.float32), "mean"),
        numpy_helper.from_array(np.array([4.0, 500.0, 1.0], np.float32), "size"),
    ]
    graph = helper.make_graph(
        [helper.make_node("Sub", ["x", "mean"], ["c"], "centre"), helper.make_node("Div", ["c", "size"], ["s"], "scale"), trees],
        "head",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [1]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3]),
        ],
        constants,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def main():
    made = model()
    onnx.checker.check_model(made)
    PATH.write_bytes(made.SerializeToString())
    session = onnxruntime.InferenceSession(PATH, providers=["CPUExecutionProvider"])
    for row in ROWS:
        label, scores = session.run(None, {"x": np.array([row], np.float32)})
        print(row, label.tolist(), scores.tolist())


if __name__ == "__main__":
    main()
