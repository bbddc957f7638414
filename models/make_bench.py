#!/usr/bin/env python3
"""Makes the models of the benchmark suite: known shapes, random weights.

    pip install -r requirements.txt
    ./make_bench.py [NAME ...] [--out DIR]

No data set goes with these shapes, so the weights are random and fitted to be
alive (`zoo/random_net.py`), and the inputs are smooth random images or uniform
vectors. For each model, DIR/NAME (DIR is `bench` beside this script, which is not
committed) gets `float.onnx`, `qdq_u8s8_per_tensor.onnx`, `qdq_u8s8_per_channel.onnx`,
`input.json` and `samples.npz` with 30 samples `x` and, as `y`, the class that the
float model gives each.

`bench.json` beside this script lists what was made: multiply-accumulates,
parameters, file sizes, and how alive the quantized network is. Seeds are fixed.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from zoo import quantize
from zoo.random_net import RandomNet

HERE = Path(__file__).parent
MANIFEST = HERE / "bench.json"
OPSET = 17
PROBE_SAMPLES = 32
TEST_SAMPLES = 30
VARIANTS = [quantize.Variant("qdq", "u8s8", g) for g in ("per_tensor", "per_channel")]


def vectors(rng, count, shape):
    return rng.uniform(-1, 1, (count, *shape)).astype(np.float32)


def images(rng, count, shape):
    """Smooth random fields in 0..1: a coarse grid, interpolated, and a little noise."""
    channels, height, width = shape
    coarse = rng.uniform(0, 1, (count, channels, 5, 5))
    for axis, size in ((2, height), (3, width)):
        position = np.linspace(0, coarse.shape[axis] - 1, size)
        below = np.minimum(position.astype(int), coarse.shape[axis] - 2)
        part = (position - below).reshape([-1 if a == axis else 1 for a in range(4)])
        low, high = coarse.take(below, axis), coarse.take(below + 1, axis)
        coarse = low * (1 - part) + high * part
    noisy = coarse + rng.normal(0, 0.05, coarse.shape)
    return np.clip(noisy, 0, 1).astype(np.float32)


@dataclass(frozen=True)
class Spec:
    """`build` appends the layers to a `RandomNet`; `samples` draws its inputs."""

    shape: tuple
    samples: object
    build: object


def dense_chain(sizes, relu_last=False):
    def build(net):
        for size in sizes[:-1]:
            net.dense(size)
        net.dense(sizes[-1], relu=relu_last)

    return build


def lenet(net):
    for channels in (6, 16):
        net.conv(channels, 5)
        net.max_pool()
    net.flatten()
    dense_chain((120, 84, 10))(net)


def cnn_264k(net):
    for channels in (12, 33):
        net.conv(channels, 5)
        net.max_pool()
    net.flatten()
    dense_chain((247, 173, 10))(net)


def mobilenet(net):
    """Depthwise 3×3 and pointwise 1×1 in turn, as MobileNet has them."""
    net.conv(16, 3, pad=1)
    channels = 16
    for outputs, stride in ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1)):
        net.conv(channels, 3, stride=stride, pad=1, group=channels)
        net.conv(outputs, 1)
        channels = outputs
    net.global_average_pool()
    net.flatten()
    net.dense(10, relu=False)


def resnet8(net):
    """Three stacks of two convolutions with a skip; two of the skips are 1×1."""
    net.conv(16, 3, pad=1)
    for channels, stride in ((16, 1), (32, 2), (64, 2)):
        entry = net.head
        net.conv(channels, 3, stride=stride, pad=1)
        body = net.conv(channels, 3, pad=1, relu=False)
        skip = entry
        if stride != 1:
            skip = net.conv(channels, 1, stride=stride, relu=False, source=entry)
        net.add(body, skip)
        net.relu()
    net.global_average_pool()
    net.flatten()
    net.dense(10, relu=False)


def two_block_cnn(channels):
    def build(net):
        for outputs in (channels, 2 * channels):
            net.conv(outputs, 3, pad=1)
            net.max_pool()
        net.flatten()
        net.dense(10, relu=False)

    return build


SPECS = {
    "mlp_784_128_10": Spec((784,), vectors, dense_chain((128, 10))),
    "lenet": Spec((1, 28, 28), images, lenet),
    "cnn_264k": Spec((3, 32, 32), images, cnn_264k),
    "dense_1m": Spec((1024,), vectors, dense_chain((1024, 10))),
    "dense_4m": Spec((4,), vectors, dense_chain((1024,) * 5 + (3,), relu_last=True)),
    "mobilenet": Spec((3, 32, 32), images, mobilenet),
    "resnet8": Spec((3, 32, 32), images, resnet8),
    **{
        f"grow_mlp_{width}": Spec((width,), vectors, dense_chain((width, width, 10)))
        for width in (16, 32, 64, 128, 256, 512, 1024)
    },
    **{
        f"grow_cnn_{size}_{channels}": Spec((1, size, size), images, two_block_cnn(channels))
        for size, channels in ((8, 2), (8, 4), (8, 8), (16, 8), (16, 16), (32, 16), (32, 32))
    },
}


def liveness(path, samples):
    """`(dead, saturated)`: the share of neurons that are constant over all samples, and
    the share of elements at the upper end of their type, over all quantized tensors."""
    model = onnx.load(path)
    names = [n.output[0] for n in model.graph.node if n.op_type == "QuantizeLinear"]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    runtime = quantize.session(model.SerializeToString())
    rows = [runtime.run(names, feed) for feed in quantize.one_by_one({"x": samples})]
    neurons = constant = elements = saturated = 0
    for column in zip(*rows):
        tensor = np.concatenate([part.reshape(1, -1) for part in column])
        neurons += tensor.shape[1]
        constant += int((tensor == tensor[0]).all(axis=0).sum())
        elements += tensor.size
        saturated += int((tensor == np.iinfo(tensor.dtype).max).sum())
    return round(constant / neurons, 4), round(saturated / elements, 4)


def make(name, spec, folder):
    """Writes the model's folder and returns its entry of the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    probe = spec.samples(rng, PROBE_SAMPLES, spec.shape)
    test = spec.samples(rng, TEST_SAMPLES, spec.shape)
    net = RandomNet(name, OPSET, "batch", probe, rng)
    spec.build(net)
    net.graph.output(net.head, "logits")
    model = net.graph.build()
    onnx.save(model, folder / "float.onnx")

    classes = quantize.predict(folder / "float.onnx", {"x": test})["logits"].argmax(axis=1)
    np.savez(folder / "samples.npz", x=test, y=classes)
    sample = {"input_data": [[float(value) for value in test[0].ravel()]]}
    (folder / "input.json").write_text(json.dumps(sample) + "\n")

    entry = {
        "model": name,
        "input": list(spec.shape),
        "macs": int(net.graph.macs),
        "parameters": sum(numpy_helper.to_array(t).size for t in model.graph.initializer),
        "variants": {},
    }
    for variant in VARIANTS:
        path = folder / f"{variant.stem}.onnx"
        quantize.quantize(folder / "float.onnx", variant, {"x": probe}, path)
        kept = quantize.predict(path, {"x": test})["logits"].argmax(axis=1) == classes
        dead, saturated = liveness(path, test)
        entry["variants"][variant.stem] = {
            "bytes": path.stat().st_size,
            "class_kept": f"{int(kept.sum())}/{len(kept)}",
            "dead": dead,
            "saturated": saturated,
        }
    return entry


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SPECS))
    parser.add_argument("--out", type=Path, default=HERE / "bench")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(SPECS)
    if unknown:
        parser.error(f"no such model: {', '.join(sorted(unknown))}")
    entries = []
    for name in arguments.names or SPECS:
        entry = make(name, SPECS[name], arguments.out / name)
        entries.append(entry)
        print(f"{name}: {entry['macs']} MACs, {entry['parameters']} parameters")
        for stem, result in entry["variants"].items():
            print(f"  {stem:24} {result}")
    if not arguments.names:
        MANIFEST.write_text(json.dumps({"models": entries}, indent=1) + "\n")


if __name__ == "__main__":
    main()
