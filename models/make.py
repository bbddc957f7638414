#!/usr/bin/env python3
"""Trains the small models of this folder, quantizes them and measures them.

    pip install -r requirements.txt
    ./make.py [NAME ...] [--out DIR]

For each model, DIR/NAME gets

- `float.onnx` and one `<form>_<types>_<granularity>.onnx` for each variant;
- `input.json`, one sample of the test split as `{"input_data": [[...]]}`, one
  flat list for each input;
- `samples.npz`, the test split: one float32 array `[n, ...]` for each input,
  under its name, and the labels as int64 (`y`, or `y_<output>`);
- `accuracy.json`, the share of right answers on the test split.

Seeds are fixed and training runs on one thread, so a second run on the same kind
of processor writes the same bytes.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from zoo import data, quantize
from zoo.graph import Graph
from zoo.layers import (
    AveragePool,
    Conv,
    Flatten,
    Gemm,
    GlobalAveragePool,
    MaxPool,
    Relu,
    Residual,
    Sequential,
)
from zoo.training import cross_entropy_gradient, train

CALIBRATION_SAMPLES = 200


@dataclass
class Model:
    """A trained float model with what is needed to calibrate and to judge it.

    `calibration` and `test` map each input to `[n, ...]`; `labels` maps each
    output to its labels `[n]`. `optimize` is that of `quantize.quantize`.
    """

    name: str
    float_model: onnx.ModelProto
    calibration: dict
    test: dict
    labels: dict
    optimize: bool = True


def classifier(name, split, network, opset, batch, epochs, seed):
    """Trains `network` on `split`: one input `x`, one output `logits`."""
    train(network, split.train_x, split.train_y, epochs, seed)
    graph = Graph(name, opset, batch)
    graph.output(network.emit(graph, graph.input("x", split.train_x.shape[1:])), "logits")
    return Model(
        name,
        graph.build(),
        {"x": split.train_x[:CALIBRATION_SAMPLES]},
        {"x": split.test_x},
        {"logits": split.test_y},
    )


def digits_mlp():
    rng = np.random.default_rng(1)
    network = Sequential(Gemm(rng, 64, 64), Relu(), Gemm(rng, 64, 32), Relu(), Gemm(rng, 32, 10))
    return classifier("digits_mlp", data.digits((64,)), network, 17, "batch", 60, seed=1)


def digits_cnn():
    rng = np.random.default_rng(2)
    network = Sequential(
        Conv(rng, 1, 8),
        Relu(),
        MaxPool(),
        Conv(rng, 8, 16),
        Relu(),
        MaxPool(),
        Flatten(),
        Gemm(rng, 64, 10),
    )
    return classifier("digits_cnn", data.digits((1, 8, 8)), network, 13, 1, 40, seed=2)


def digits_res():
    rng = np.random.default_rng(3)
    network = Sequential(
        Conv(rng, 1, 12),
        Relu(),
        AveragePool(),
        Residual(Sequential(Conv(rng, 12, 12), Relu(), Conv(rng, 12, 12))),
        Relu(),
        Conv(rng, 12, 24),
        Relu(),
        GlobalAveragePool(),
        Flatten(),
        Gemm(rng, 24, 10),
    )
    return classifier("digits_res", data.digits((1, 8, 8)), network, 17, "N", 60, seed=3)


def cancer_mlp():
    rng = np.random.default_rng(4)
    network = Sequential(Gemm(rng, 30, 16), Relu(), Gemm(rng, 16, 2))
    return classifier("cancer_mlp", data.cancer(), network, 21, 1, 60, seed=4)


def two_io():
    """A digit in two halves, read as its value and as its parity.

    The halves meet in an Add, one through a MatMul and one through a Gemm; two
    Gemm heads share the hidden layer.
    """
    split = data.digits((64,))
    rng = np.random.default_rng(5)
    hidden, heads = Gemm(rng, 64, 32), Gemm(rng, 32, 12)

    def loss_gradient(outputs, labels):
        value = cross_entropy_gradient(outputs[:, :10], labels)
        parity = cross_entropy_gradient(outputs[:, 10:], labels % 2)
        return np.concatenate([value, parity], axis=1)

    train(Sequential(hidden, Relu(), heads), split.train_x, split.train_y, 60, 5, loss_gradient)

    graph = Graph("two_io", 15, "batch")
    upper, lower = graph.input("upper", (32,)), graph.input("lower", (32,))
    merged = graph.add(
        graph.matmul(upper, hidden.weight[:32]),
        graph.gemm(lower, hidden.weight[32:], hidden.bias),
    )
    active = graph.relu(merged)
    graph.output(graph.gemm(active, heads.weight[:, :10], heads.bias[:10]), "value")
    graph.output(graph.gemm(active, heads.weight[:, 10:], heads.bias[10:]), "parity")

    def halves(samples):
        return {"upper": samples[:, :32].copy(), "lower": samples[:, 32:].copy()}

    return Model(
        "two_io",
        graph.build(),
        halves(split.train_x[:CALIBRATION_SAMPLES]),
        halves(split.test_x),
        {"value": split.test_y, "parity": split.test_y % 2},
        # The optimizer would turn MatMul and Add into a Gemm with a computed
        # addend, which the quantizer then leaves in float.
        optimize=False,
    )


MODELS = {make.__name__: make for make in (digits_mlp, digits_cnn, digits_res, cancer_mlp, two_io)}


def accuracy(predictions, labels):
    """Share of right answers for each output."""
    return {
        output: round(float((predictions[output].argmax(axis=1) == expected).mean()), 4)
        for output, expected in labels.items()
    }


def write_samples(model, folder):
    labels = {
        "y" if len(model.labels) == 1 else f"y_{output}": expected
        for output, expected in model.labels.items()
    }
    np.savez(folder / "samples.npz", **model.test, **labels)


def write_input(model, folder, all_predictions):
    """Writes the first test sample that every variant classifies as its label says."""
    right = np.logical_and.reduce(
        [
            predictions[output].argmax(axis=1) == expected
            for predictions in all_predictions
            for output, expected in model.labels.items()
        ]
    )
    index = int(right.argmax())
    lists = [[float(value) for value in x[index].ravel()] for x in model.test.values()]
    (folder / "input.json").write_text(json.dumps({"input_data": lists}) + "\n")
    return index


def make(model, folder):
    folder.mkdir(parents=True, exist_ok=True)
    float_path = folder / "float.onnx"
    onnx.save(model.float_model, float_path)
    float_predictions = quantize.predict(float_path, model.test)
    report = {
        "samples": len(next(iter(model.test.values()))),
        "float": accuracy(float_predictions, model.labels),
        "int8": {},
    }
    all_predictions = [float_predictions]
    for variant in quantize.VARIANTS:
        path = folder / f"{variant.stem}.onnx"
        quantize.quantize(float_path, variant, model.calibration, path, model.optimize)
        all_predictions.append(quantize.predict(path, model.test))
        report["int8"][variant.stem] = accuracy(all_predictions[-1], model.labels)
    write_samples(model, folder)
    report["input_json_is_sample"] = write_input(model, folder, all_predictions)
    (folder / "accuracy.json").write_text(json.dumps(report, indent=1) + "\n")
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MODELS))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(MODELS)
    if unknown:
        parser.error(f"no such model: {', '.join(sorted(unknown))}")
    for name in arguments.names or MODELS:
        report = make(MODELS[name](), arguments.out / name)
        print(f"{name}: {report['samples']} test samples, float {report['float']}")
        for stem, result in report["int8"].items():
            print(f"  {stem:30} {result}")


if __name__ == "__main__":
    main()
