"""Random float heads: the integers that a program starts from, against ONNX Runtime's.

    head_forms.py ZKONNX [COUNT] [--seed N]

Draws COUNT models that compute in float before they quantize (arithmetic with constants, comparisons, choices,
functions, movement, operators of classical learning, several inputs, integers that are cast, results that are quantized twice), asks ONNX Runtime live
and runs the binary. A form fails if an integer differs that `check` calls exact, or differs by more than one elsewhere,
or if a model is refused.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import executor

F32 = np.float32
TYPES = (np.uint8, np.int8, np.uint16, np.int16)
FUNCTIONS = ("Abs", "Neg", "Relu", "Sign", "Floor", "Ceil", "Round", "Sqrt", "Sigmoid", "Tanh", "Exp", "Erf", "Softplus")


class Form:
    """A model of a head under construction."""

    def __init__(self, rng):
        self.rng, self.nodes, self.constants, self.inputs, self.feeds = rng, [], [], [], {}

    def name(self, stem):
        return f"{stem}{len(self.nodes)}_{len(self.constants)}"

    def constant(self, array):
        name = self.name("c")
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, op, inputs, **attributes):
        name = self.name(op.lower())
        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def input(self, width, samples):
        name = f"x{len(self.inputs)}"
        if self.rng.random() < 0.25:
            self.inputs.append(helper.make_tensor_value_info(name, TensorProto.INT64, [1, width]))
            self.feeds[name] = self.rng.integers(-(2**30), 2**30, (samples, 1, width)) >> self.rng.integers(0, 29)
            return self.node("Cast", [name], to=TensorProto.FLOAT)
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, width]))
        scale = self.rng.choice((1.0, 1e-3, 1e4))
        self.feeds[name] = (self.rng.normal(size=(samples, 1, width)) * scale).astype(F32)
        return name

    def learning(self, x, width):
        """An operator of classical learning that keeps the width."""
        rng = self.rng
        some = lambda n: [float(F32(v)) for v in rng.normal(size=n)]  # noqa: E731
        ml = {"domain": "ai.onnx.ml"}
        kind = rng.integers(9)
        if kind == 0:
            count = rng.choice((1, width))
            return self.node("Scaler", [x], offset=some(count), scale=some(count), **ml)
        if kind == 1:
            missing = self.node("Where", [self.node("Greater", [x, self.constant(F32(0.3))]),
                                          self.constant(F32(np.nan)), x])  # fmt: skip
            return self.node("Imputer", [missing], imputed_value_floats=some(rng.choice((1, width))),
                             replaced_value_float=float("nan"), **ml)  # fmt: skip
        if kind == 2:
            return self.node("Normalizer", [x], norm=str(rng.choice(("MAX", "L1", "L2"))), **ml)
        if kind == 3:
            return self.node("Binarizer", [x], threshold=some(1)[0], **ml)
        if kind == 4:
            whole = self.node("Round", [x])
            hot = self.node("OneHotEncoder", [whole], cats_int64s=[0, -1, 2], zeros=1, **ml)
            return self.node("ReduceMax", [hot, self.constant(np.array([2], np.int64))], keepdims=0)
        if kind == 5:
            whole = self.node("Round", [x])
            return self.node("LabelEncoder", [whole], keys_floats=[0.0, 1.0, -2.0], values_floats=some(3),
                             default_float=some(1)[0], **ml)  # fmt: skip
        if kind == 6:
            return self.node("LinearRegressor", [x], coefficients=some(width * width), intercepts=some(width),
                             targets=width, **ml)  # fmt: skip
        if kind == 7:
            return self.node("ArrayFeatureExtractor", [x, self.constant(rng.permutation(width).astype(np.int64))], **ml)
        wide = self.node("FeatureVectorizer", [x, x], inputdimensions=[width, width + 1], **ml)
        return self.node("Slice", [wide, *(self.constant(np.array([v], np.int64)) for v in (1, width + 1, 1))])

    def step(self, x, width):
        rng = self.rng
        one = lambda: self.constant((rng.normal(size=rng.choice((1, width))) * rng.choice((1, 100))).astype(F32))  # noqa: E731
        kind = rng.integers(8)
        if kind == 7:
            return self.learning(x, width)
        if kind <= 2:
            return self.node(str(rng.choice(("Add", "Sub", "Mul", "Div", "Max", "Min"))), [x, one()])
        if kind == 3:
            low = F32(-abs(rng.normal()))
            return self.node("Clip", [x, self.constant(low), self.constant(F32(2) - low)])
        if kind == 4:
            greater = self.node("Greater", [x, one()])
            return self.node("Where", [greater, x, one()])
        if kind == 5:
            return self.node("Gather", [x, self.constant(rng.permutation(width).astype(np.int64))], axis=1)
        function = str(rng.choice(FUNCTIONS))
        if function in ("Exp", "Sqrt"):
            limits = (0, 20) if function == "Sqrt" else (-20, 8)
            x = self.node("Clip", [x, *(self.constant(F32(v)) for v in limits)])
        return self.node(function, [x])


def draw(rng, samples=16):
    form = Form(rng)
    width = int(rng.integers(1, 6))
    x = form.input(width, samples)
    for _ in range(rng.integers(1, 6)):
        x = form.step(x, width)
    if rng.random() < 0.3:
        other = form.step(form.input(width, samples), width)
        x = form.node("Concat" if rng.random() < 0.5 else "Add", [x, other], **({}))
        if form.nodes[-1].op_type == "Concat":
            form.nodes[-1].attribute.append(helper.make_attribute("axis", 1))
    outputs = []
    for _ in range(1 + (rng.random() < 0.2)):
        dtype = TYPES[rng.integers(len(TYPES))]
        scale = form.constant(F32(2.0 ** rng.uniform(-10, 4)))
        info = np.iinfo(dtype)
        zero = form.constant(dtype(rng.integers(info.min, info.max)))
        outputs.append(form.node("QuantizeLinear", [x, scale, zero]))
    infos = [helper.make_empty_tensor_value_info(name) for name in outputs]
    graph = helper.make_graph(form.nodes, "head", form.inputs, infos, form.constants)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets)
    model.ir_version = 10
    return model, form.feeds, outputs


def judge(binary, rng, folder):
    """What is wrong, if anything; elements, and how many differ."""
    model, feeds, outputs = draw(rng)
    path = folder / "head.onnx"
    path.write_bytes(model.SerializeToString())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    # Optimizations move and merge operators of the head; what the text says is meant here.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    count = len(next(iter(feeds.values())))
    expected = [session.run(outputs, {name: feed[i] for name, feed in feeds.items()}) for i in range(count)]
    try:
        tensors, _ = executor.run(binary, path, feeds, folder)
    except executor.Refused as refused:
        return str(refused), 0, 0
    checked = subprocess.run([binary, "--json", "check", path], capture_output=True, text=True, check=False)
    nodes = {node["node"]: node for node in json.loads(checked.stdout)["nodes"]}
    elements = differing = 0
    for place, name in enumerate(outputs):
        wanted = np.stack([one[place] for one in expected]).astype(np.int64)
        apart = np.abs(tensors[name].reshape(wanted.shape) - wanted)
        elements, differing = elements + apart.size, differing + int((apart > 0).sum())
        exact = nodes[name]["status"] == "exact"
        if apart.max(initial=0) > (0 if exact else 1):
            return f"{name} differs by {apart.max()}, {nodes[name]['status']}", elements, differing
    return None, elements, differing


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("zkonnx")
    parser.add_argument("count", type=int, nargs="?", default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    wrong = elements = differing = 0
    with tempfile.TemporaryDirectory() as name:
        for number in range(arguments.count):
            rng = np.random.default_rng([arguments.seed, number])
            reason, some, differ = judge(arguments.zkonnx, rng, Path(name))
            elements, differing = elements + some, differing + differ
            if reason:
                wrong += 1
                print(f"form {number}: {reason}", file=sys.stderr)
    print(f"float heads: {arguments.count - wrong} of {arguments.count} as labelled; {elements} elements, {differing} differ")
    sys.exit(1 if wrong or not elements else 0)


if __name__ == "__main__":
    main()
