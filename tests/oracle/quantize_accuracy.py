"""Compares `zkonnx quantize` with ONNX Runtime's own quantizer, and runs it on nets of one operator.

    python quantize_accuracy.py ZKONNX            # the models of models/, accuracy within 0.5 points
    python quantize_accuracy.py ZKONNX --operators  # one-operator nets: quantize, mock, run in ONNX Runtime

Prints a table and ends with 1 if anything is out of bounds.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

MODELS = pathlib.Path(__file__).resolve().parents[2] / "models"
NAMES = ["cancer_mlp", "digits_mlp", "digits_cnn", "digits_res", "two_io"]
POINTS = 0.5


def zkonnx(binary, *arguments):
    done = subprocess.run(
        [binary, "--json", "--quiet", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def accuracy(path, samples, outputs):
    """Share of right predictions of each output, one sample at a time, in ONNX Runtime."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    right = dict.fromkeys(outputs, 0)
    names = [i.name for i in session.get_inputs()]
    count = len(samples[names[0]])
    for i in range(count):
        results = session.run(outputs, {n: samples[n][i : i + 1] for n in names})
        for output, result in zip(outputs, results):
            labels = samples["y" if "y" in samples else f"y_{output}"]
            right[output] += int(np.argmax(result) == labels[i])
    return {output: right[output] / count for output in outputs}


def models(binary, folder):
    bad = 0
    print(f"{'model':12}{'variant':24}{'output':10}{'float':>9}{'ort':>9}{'zkonnx':>9}{'integers':>10}")
    for name in NAMES:
        known = json.loads((MODELS / name / "accuracy.json").read_text())
        samples = dict(np.load(MODELS / name / "samples.npz"))
        for variant, options in [
            ("qdq_u8s8_per_tensor", []),
            ("qdq_u8s8_per_channel", ["--per-channel"]),
            ("qdq_s8s8_per_tensor", ["--activations", "i8"]),
            ("qdq_u8u8_per_tensor", ["--weights", "u8"]),
            ("qdq_u8s8_per_tensor", ["--method", "percentile=99.99"]),
        ]:
            out = folder / f"{name}_{variant}.onnx"
            code, _, error = zkonnx(
                binary, "quantize", MODELS / name / "float.onnx",
                "--calibrate", MODELS / name / "samples.npz", "-o", out, *options,
            )  # fmt: skip
            if code:
                bad += 1
                print(f"{name:12}{variant:24}{error.strip()}")
                continue
            own = accuracy(out, samples, list(known["float"]))
            _, run, _ = zkonnx(binary, "run", out, "--input", MODELS / name / "samples.npz")
            integers = {a["output"]: a["right"] / a["samples"] for a in json.loads(run)["accuracy"]}
            if options[:1] == ["--method"]:
                variant = "percentile=99.99"
            for output, float_accuracy in known["float"].items():
                theirs = known["int8"].get(variant, known["int8"]["qdq_u8s8_per_tensor"])[output]
                ours = integers.get(output, float("nan"))
                shown = [float_accuracy, theirs, own[output], ours]
                fails = 100 * (theirs - min(own[output], ours)) > POINTS
                bad += fails
                print(f"{name:12}{variant:24}{output:10}" + "".join(f"{v:9.4f}" for v in shown) + "  LOW" * fails)
    return bad


def constant(name, values, dtype=np.float32):
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def nets():
    """Name, nodes, constants, opset, shape of x."""
    one = lambda op, *names, **attributes: helper.make_node(op, ["x", *names], ["y"], **attributes)  # noqa: E731
    image = [1, 2, 6, 6]
    for op in [
        "Abs", "Ceil", "Celu", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu",
        "Mish", "Neg", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Softplus",
        "Softsign", "Sqrt", "Tanh", "ThresholdedRelu", "Log",
    ]:  # fmt: skip
        yield op, [one(op)], [], [1, 8]
    yield "Clip", [one("Clip", "lo", "hi")], [constant("lo", 0), constant("hi", 1)], [1, 8]
    for op in ["Add", "Sub", "Mul", "Div", "Pow", "PRelu", "Min", "Max"]:
        yield f"{op} constant", [one(op, "c")], [constant("c", 2.0)], [1, 8]
    for op in ["Add", "Sub", "Mul", "Div", "Min", "Max"]:
        first = helper.make_node("Sigmoid", ["x"], ["s"])
        yield f"{op} pair", [first, one(op, "s")], [], [1, 8]
    yield "Mul matrix", [one("Mul", "c")], [constant("c", np.arange(12).reshape(3, 4) / 7)], [1, 3, 4]
    for op in ["MaxPool", "AveragePool"]:
        yield op, [one(op, kernel_shape=[2, 2], strides=[2, 2])], [], image
    yield "AveragePool pads", [one("AveragePool", kernel_shape=[3, 3], pads=[1] * 4)], [], image
    for op in ["GlobalMaxPool", "GlobalAveragePool"]:
        yield op, [one(op)], [], image
    for op in ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"]:
        axes = [constant("axes", [1], np.int64)]
        yield op, [one(op, "axes", keepdims=0)], axes, [1, 6, 3]
    integers = lambda **lists: [constant(n, v, np.int64) for n, v in lists.items()]  # noqa: E731
    yield "Slice", [one("Slice", "a", "b", "c")], integers(a=[1], b=[3], c=[1]), [1, 4]
    yield "Gather", [one("Gather", "a", axis=1)], integers(a=[2, 0]), [1, 4]
    yield "Pad", [one("Pad", "a")], integers(a=[0, 0, 1, 1, 0, 0, 1, 1]), image
    yield "Pad reflect", [one("Pad", "a", mode="reflect")], integers(a=[0, 0, 1, 1, 0, 0, 1, 1]), image
    yield "Expand", [one("Expand", "a")], integers(a=[3, 4]), [1, 4]
    yield "Tile", [one("Tile", "a")], integers(a=[1, 2]), [1, 4]
    yield "Transpose", [one("Transpose")], [], [1, 4]
    yield "Reshape", [one("Reshape", "a")], integers(a=[2, -1]), [1, 4]
    yield "DepthToSpace", [one("DepthToSpace", blocksize=2)], [], [1, 4, 3, 3]
    yield "SpaceToDepth", [one("SpaceToDepth", blocksize=2)], [], image
    yield (
        "Split",
        [helper.make_node("Split", ["x"], ["a", "b"], axis=1, num_outputs=2), helper.make_node("Add", ["a", "b"], ["y"])],
        [],
        [1, 4],
    )
    parts = [helper.make_node("Sigmoid", ["x"], ["s"]), one("Concat", "s", axis=1)]
    yield "Concat", parts, [], [1, 4]
    where = [helper.make_node("Less", ["x", "c"], ["m"]), helper.make_node("Where", ["m", "x", "c"], ["y"])]
    yield "Where", where, [constant("c", 0.5)], [1, 4]
    rng = np.random.default_rng(1)
    w = lambda *shape: rng.normal(0, 0.3, shape).astype(np.float32)  # noqa: E731
    yield "Gemm", [one("Gemm", "w", "b", transB=1, alpha=0.5)], [constant("w", w(3, 4)), constant("b", w(3))], [1, 4]
    yield (
        "MatMul Add Relu",
        [
            helper.make_node("MatMul", ["x", "w"], ["m"]),
            helper.make_node("Add", ["m", "b"], ["s"]),
            helper.make_node("Relu", ["s"], ["y"]),
        ],
        [constant("w", w(4, 3)), constant("b", w(3))],
        [1, 2, 4],
    )
    norm = [constant("g", w(3)), constant("h", w(3)), constant("m", w(3)), constant("v", 1 + w(3) ** 2)]
    yield (
        "Conv BatchNormalization",
        [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
            helper.make_node("BatchNormalization", ["c", "g", "h", "m", "v"], ["y"]),
        ],
        [constant("w", w(3, 2, 3, 3)), *norm],
        image,
    )
    yield "Conv1d", [one("Conv", "w", "b")], [constant("w", w(3, 2, 3)), constant("b", w(3))], [1, 2, 6]
    yield "ConvTranspose", [one("ConvTranspose", "w", strides=[2, 2])], [constant("w", w(2, 3, 2, 2))], [1, 2, 3, 3]
    yield "Softmax tail", [one("Gemm", "w"), helper.make_node("Softmax", ["y"], ["p"])], [constant("w", w(4, 3))], [1, 4]


def operators(binary, folder):
    bad = 0
    rng = np.random.default_rng(0)
    print(f"{'net':26}{'verdict':10}{'error against float, in spans of the output':>20}")
    for name, nodes, constants, shape in nets():
        positive = nodes[0].op_type in ("Sqrt", "Reciprocal", "Log") or name in ("Pow constant", "Div pair")
        samples = rng.uniform(0.5 if positive else -3, 3, (16, *shape)).astype(np.float32)
        out = nodes[-1].output[0]
        graph = helper.make_graph(
            nodes, "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(out, TensorProto.FLOAT, None)],
            constants,
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        model = onnx.shape_inference.infer_shapes(model)
        source, target, data = folder / "f.onnx", folder / "q.onnx", folder / "x.npz"
        onnx.save(model, source)
        np.savez(data, x=samples)
        code, _, error = zkonnx(binary, "quantize", source, "--calibrate", data, "-o", target)
        step = "quantize"
        if not code:
            step = "mock"
            code, _, error = zkonnx(binary, "mock", target, "--input", data, "--sample", "0")
        if code:
            bad += 1
            print(f"{name:26}{step:10}{error.strip()[:160]}")
            continue
        try:
            run = lambda path: [  # noqa: E731
                onnxruntime.InferenceSession(str(path)).run(None, {"x": x})[0] for x in samples
            ]
            float_out, own = np.array(run(source)), np.array(run(target))
            span = max(float(np.ptp(float_out)), 1e-9)
            print(f"{name:26}{'ok':10}{float(np.abs(float_out - own).max()) / span:20.4f}")
        except Exception as problem:  # noqa: BLE001
            bad += 1
            print(f"{name:26}{'ort':10}{str(problem)[:160]}")
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary", help="the zkonnx program")
    parser.add_argument("--operators", action="store_true", help="nets of one operator instead of the models")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kind = operators if arguments.operators else models
        bad = kind(arguments.binary, pathlib.Path(folder))
    print(f"{bad} out of bounds")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
