"""What `onnxruntime.quantization.quantize_static` makes of small float networks.

Each network is a chain of float operators with random weights. It is quantized in both
forms, with each pair of types, per tensor and per channel, and compared on every integer
tensor. `tool_operators.py` has networks around one operator each. Where the tool leaves
weights in float, no integers are defined: such a file has to be refused, with the command
that quantizes it.
"""

import logging
import tempfile
import zlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from graphs import Graph, Tensor
from tool_operators import tool_operators

SAMPLES = 6
OPSET = 17
IMAGE, ROW = [1, 3, 6, 6], [1, 8]
# Networks of images: each layer is an operator with attributes; `w` names drawn constants.
IMAGES = {
    "conv_relu_pool": ["conv", "Relu", "maxpool", "conv", "Relu", "flatten", "gemm"],
    "conv_clip_average": ["conv", "relu6", "average", "conv", "global", "flatten", "gemm"],
    "residual": ["conv", "Relu", "residual", "Relu", "global", "flatten", "gemm"],
    "depthwise": ["conv", "relu6", "depthwise", "relu6", "conv1", "residual", "global"],
    "branches": ["conv", "concat", "Relu", "maxpool", "flatten", "gemm"],
    "leaky": ["conv", "leaky", "conv", "Sigmoid", "flatten", "gemm"],
    "gated": ["conv", "squeeze", "conv1", "flatten", "gemm"],
    "upsampled": ["conv", "Relu", "resize", "conv", "Relu"],
    "moved": ["conv", "pad", "transpose", "conv", "split", "flatten", "gemm"],
}
ROWS = {
    "perceptron": ["gemm", "Relu", "gemm", "Relu", "gemm"],
    "matmul_add": ["matmul", "add", "Relu", "matmul", "add"],
    "sigmoid": ["gemm", "Sigmoid", "gemm", "leaky", "gemm"],
    "multiplied": ["gemm", "square", "gemm"],
    "summed": ["gemm", "Relu", "twice", "gemm"],
}
# Activation type, weight type, and the name.
TYPES = (
    ("u8s8", QuantType.QUInt8, QuantType.QInt8),
    ("u8u8", QuantType.QUInt8, QuantType.QUInt8),
    ("s8s8", QuantType.QInt8, QuantType.QInt8),
)
# Networks that the tool leaves partly in float, where no integers are defined.
FLOAT_ISLANDS = {
    ("ConvTranspose", QuantFormat.QOperator): "the tool has no QOperator form of ConvTranspose and keeps its weights float",
}


class _Float:
    """A float network under construction; `last` and `shape` are those of its end."""

    def __init__(self, name, shape):
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))
        self.name, self.shape, self.last = name, list(shape), "x"
        self._nodes, self._constants, self._count = [], [], 0

    def constant(self, array, kind=np.float32):
        self._count += 1
        name = f"w{self._count}"
        self._constants.append(numpy_helper.from_array(np.asarray(array, kind), name))
        return name

    def weights(self, *shape):
        taps = np.prod(shape[1:]) if len(shape) > 1 else 4
        return self.constant(self.rng.normal(0, 1 / np.sqrt(taps), shape))

    def node(self, op, inputs, outputs=1, **attributes):
        self._count += 1
        name = f"{op.lower()}{self._count}"
        made = [f"{name}_{i}" for i in range(outputs)]
        self._nodes.append(helper.make_node(op, inputs, made, name, **attributes))
        return made[0]

    def convolve(self, outputs, kernel, group=1):
        inputs = self.shape[1]
        weights = [self.weights(outputs, inputs // group, kernel, kernel), self.weights(outputs)]
        pads = [kernel // 2] * 4
        self.shape[1] = outputs
        return self.node("Conv", [self.last, *weights], pads=pads, group=group)

    def add(self, layer):
        """Appends a layer to the end."""
        method = getattr(self, f"_{layer}", None)
        self.last = method() if method else self.node(layer, [self.last])

    def _conv(self):
        return self.convolve(4, 3)

    def _conv1(self):
        return self.convolve(4, 1)

    def _depthwise(self):
        return self.convolve(self.shape[1], 3, self.shape[1])

    def _relu6(self):
        return self.node("Clip", [self.last, self.constant(0.0), self.constant(6.0)])

    def _leaky(self):
        return self.node("LeakyRelu", [self.last], alpha=0.1)

    def _maxpool(self):
        self.shape[2:] = [d // 2 for d in self.shape[2:]]
        return self.node("MaxPool", [self.last], kernel_shape=[2, 2], strides=[2, 2])

    def _average(self):
        self.shape[2:] = [d // 2 for d in self.shape[2:]]
        return self.node("AveragePool", [self.last], kernel_shape=[2, 2], strides=[2, 2])

    def _global(self):
        self.shape[2:] = [1, 1]
        return self.node("GlobalAveragePool", [self.last])

    def _residual(self):
        before = self.last
        return self.node("Add", [before, self.convolve(self.shape[1], 3)])

    def _concat(self):
        left, inputs = self.convolve(2, 1), list(self.shape)
        self.shape[1] = 4
        right = self.convolve(3, 3)
        self.shape = [inputs[0], 5, *inputs[2:]]
        return self.node("Concat", [left, right], axis=1)

    def _squeeze(self):
        channels = self.shape[1]
        pooled = self.node("GlobalAveragePool", [self.last])
        weights = [self.weights(channels, channels, 1, 1), self.weights(channels)]
        gate = self.node("Sigmoid", [self.node("Conv", [pooled, *weights])])
        return self.node("Mul", [self.last, gate])

    def _resize(self):
        scales = self.constant([1, 1, 2, 2])
        self.shape[2:] = [2 * d for d in self.shape[2:]]
        return self.node(
            "Resize", [self.last, "", scales], mode="nearest",
            coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        )  # fmt: skip

    def _pad(self):
        pads = self.constant([0, 0, 1, 0, 0, 0, 0, 1], np.int64)
        self.shape[2:] = [d + 1 for d in self.shape[2:]]
        return self.node("Pad", [self.last, pads])

    def _transpose(self):
        self.shape = [self.shape[i] for i in (0, 1, 3, 2)]
        return self.node("Transpose", [self.last], perm=[0, 1, 3, 2])

    def _split(self):
        self.shape[1] //= 2
        return self.node("Split", [self.last], outputs=2, axis=1)

    def _flatten(self):
        self.shape = [1, int(np.prod(self.shape))]
        return self.node("Flatten", [self.last])

    def _gemm(self):
        inputs, self.shape = self.shape[1], [1, 6]
        return self.node("Gemm", [self.last, self.weights(6, inputs), self.weights(6)], transB=1)

    def _matmul(self):
        inputs, self.shape = self.shape[1], [1, 6]
        return self.node("MatMul", [self.last, self.weights(inputs, 6)])

    def _add(self):
        return self.node("Add", [self.last, self.weights(self.shape[1])])

    def _square(self):
        return self.node("Mul", [self.last, self.last])

    def _twice(self):
        return self.node("Add", [self.last, self.last])

    def model(self, shape):
        """The network from an input of this shape to its end."""
        outputs = [helper.make_tensor_value_info(self.last, TensorProto.FLOAT, self.shape)]
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
        graph = helper.make_graph(self._nodes, self.name, inputs, outputs, self._constants)
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


class _Samples(CalibrationDataReader):
    def __init__(self, samples):
        self._left = iter(samples)

    def get_next(self):
        sample = next(self._left, None)
        return None if sample is None else {"x": sample}


def _live(graph):
    """Names that the outputs depend on; the executor does not compute others."""
    live = {output.name for output in graph.output}
    for node in reversed(graph.node):
        if live.intersection(node.output):
            live.update(node.input)
    return live


def _operator(node, producers):
    """The operator of the QDQ group that a QuantizeLinear closes; else the node's own."""
    head = node
    while head.op_type in ("QuantizeLinear", "Relu", "Clip") and head.input[0] in producers:
        before = producers[head.input[0]]
        if before.op_type == "DequantizeLinear":
            break
        head = before
    return head.op_type


def compared(model):
    """The integer activations of a quantized model, with those that each depends on."""
    made = {t.name for t in model.graph.initializer}
    producers = {name: node for node in model.graph.node for name in node.output}
    above, found, live = {}, [], _live(model.graph)
    for node in model.graph.node:
        if all(name in made or not name for name in node.input):
            made.update(node.output)
            continue
        parents = set().union(*(above.get(name, set()) for name in node.input))
        quantizes = node.op_type.startswith("QLinear") or node.op_type in (
            "QuantizeLinear",
            "QGemm",
        )
        for name in node.output:
            above[name] = parents | {name} if quantizes else parents
        if quantizes and node.output[0] in live:
            found.append(Tensor(node.output[0], _operator(node, producers), sorted(parents)))
    return found


def _quantized(model, samples, form, types, per_channel):
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "quantized.onnx"
        onnx.save(model, source)
        quantize_static(
            source, target, _Samples(samples), quant_format=form, per_channel=per_channel,
            activation_type=types[1], weight_type=types[2],
        )  # fmt: skip
        return onnx.load(target)


def _floats():
    """Name, float model, samples and the operator of interest of every network."""
    networks = [(k, v, IMAGE) for k, v in IMAGES.items()] + [(k, v, ROW) for k, v in ROWS.items()]
    for name, layers, shape in networks:
        network = _Float(name, shape)
        for layer in layers:
            network.add(layer)
        samples = network.rng.normal(0, 1, (SAMPLES, *shape)).astype(np.float32)
        yield name, network.model(shape), {"x": samples}
    for made in tool_operators():
        yield made.name, made.model, made.samples


def tool_graphs(every=1):
    """Yields every network in both forms, with each pair of types, per tensor and per channel.

    With `every`, only each so many of these variants, others for each network.
    """
    logging.getLogger().setLevel(logging.ERROR)
    variants = [
        (form, types, per_channel)
        for form in (QuantFormat.QDQ, QuantFormat.QOperator)
        for types in TYPES
        for per_channel in (False, True)
    ]
    count = 0
    for name, model, samples in _floats():
        for form, types, per_channel in variants:
            count += 1
            if count % every:
                continue
            title = f"{name}_{form}_{types[0]}_{'channel' if per_channel else 'tensor'}"
            quantized = _quantized(model, samples["x"], form, types, per_channel)
            yield Graph(
                title, name, quantized, samples, tensors=compared(quantized), several=True,
                refused=FLOAT_ISLANDS.get((name, form)),
            )  # fmt: skip
