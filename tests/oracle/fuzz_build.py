"""A graph under construction, whose tensors know their type and shape."""

from dataclasses import dataclass

import numpy as np
from onnx import helper, numpy_helper

import fuzz_values as v

MICROSOFT = "com.microsoft"
F32 = np.float32


@dataclass
class T:
    """A tensor: a constant of the graph, an activation, or the real that one of them stands for."""

    name: str
    dtype: type
    shape: tuple

    @property
    def rank(self):
        return len(self.shape)

    @property
    def size(self):
        return int(np.prod(self.shape, dtype=np.int64))


class Unfit(Exception):
    """What was drawn does not fit together; another draw may."""


class Build:
    """Nodes, constants, inputs and outputs, drawn by `rng`."""

    def __init__(self, rng, opset):
        self.rng, self.opset = rng, opset
        self.nodes, self.constants, self.inputs, self.feeds = [], [], [], {}
        self.outputs, self.activations = [], []
        self.samples = 3
        self._count = 0

    def fresh(self, stem):
        self._count += 1
        return f"{stem}{self._count}"

    def choose(self, options):
        return options[int(self.rng.integers(len(options)))]

    def chance(self, share):
        return self.rng.random() < share

    def constant(self, array, stem="c"):
        """An initializer, or sometimes a Constant node."""
        array = np.asarray(array)
        name = self.fresh(stem)
        tensor = numpy_helper.from_array(array, name)
        if self.chance(0.1):
            self.nodes.append(helper.make_node("Constant", [], [name], f"n_{name}", value=tensor))
        else:
            self.constants.append(tensor)
        return T(name, array.dtype.type, array.shape)

    def leaf(self, dtype, shape):
        return self.constant(v.values(self.rng, shape, dtype))

    def node(self, op, inputs, dtype, shape, domain="", **attributes):
        """Appends a node with one output."""
        return self.several(op, inputs, [(dtype, shape)], domain, **attributes)[0]

    def several(self, op, inputs, made, domain="", **attributes):
        name = self.fresh(op.lower())
        results = [T(f"{name}_{i}", dtype, tuple(shape)) for i, (dtype, shape) in enumerate(made)]
        inputs = [i.name if isinstance(i, T) else i for i in inputs]
        attributes = {k: a for k, a in attributes.items() if a is not None}
        outputs = [r.name for r in results]
        self.nodes.append(helper.make_node(op, inputs, outputs, name, domain=domain, **attributes))
        return results

    def ints(self, values):
        return self.constant(np.asarray(values, np.int64))

    def scalar(self, value, dtype=F32):
        return self.constant(np.asarray(value, dtype))

    # Activations

    def integer_input(self, dtype, shape, low=None, high=None):
        name = self.fresh("x")
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.inputs.append(helper.make_tensor_value_info(name, kind, list(shape)))
        drawn = (self.samples, *shape)
        if dtype == v.BOOL:
            feed = v.booleans(self.rng, drawn)
        elif low is not None:
            feed = self.rng.integers(low, high, drawn).astype(dtype)
        elif dtype in (np.uint8, np.int8, np.uint16, np.int16):
            info = np.iinfo(dtype)
            feed = self.rng.integers(info.min, int(info.max) + 1, drawn).astype(dtype)
        else:
            feed = v.integers(self.rng, drawn, dtype, wild=0.05)
        self.feeds[name] = feed
        return T(name, dtype, tuple(shape))

    def float_input(self, shape):
        name = self.fresh("x")
        self.inputs.append(helper.make_tensor_value_info(name, 1, list(shape)))
        feed = self.rng.uniform(-6, 6, (self.samples, *shape)).astype(F32)
        ends = np.array([np.inf, -np.inf, 1e30, -1e-40, -0.0, 0.5, 1.5, -2.5], F32)
        wild = self.rng.random(feed.shape) < 0.1
        self.feeds[name] = np.where(wild, self.rng.choice(ends, feed.shape), feed).astype(F32)
        return T(name, F32, tuple(shape))

    def kind(self, wide=0.04):
        """A quantized type, mostly of 8 bits."""
        if self.opset >= 21 and self.chance(wide):
            return self.choose((np.uint16, np.int16))
        return self.choose((np.uint8, np.int8))

    def parameters(self, dtype, scale=None, zero=None):
        scale = v.scale(self.rng) if scale is None else scale
        zero = v.zero(self.rng, dtype) if zero is None else zero
        return [self.scalar(scale), self.constant(np.asarray(zero, dtype))]

    def usual(self, dtype):
        """Scale and zero point as calibration leaves them."""
        scale = F32(np.exp(self.rng.uniform(np.log(0.01), np.log(0.1))))
        return self.parameters(dtype, scale)

    def activation(self, shape, dtype=None, usual=0.7):
        """A dequantized tensor: of an integer input, a quantized float input, or a tensor that is there."""
        fitting = [a for a in self.activations if a.shape == tuple(shape)]
        if fitting and dtype is None and self.chance(0.4):
            return self.choose(fitting)
        dtype = dtype or self.kind()
        parameters = self.usual(dtype) if self.chance(usual) else self.parameters(dtype)
        if self.chance(0.3):
            x = self.node("QuantizeLinear", [self.float_input(shape), *parameters], dtype, shape)
        else:
            x = self.integer_input(dtype, shape)
        real = self.node("DequantizeLinear", [x, *parameters], F32, shape)
        self.activations.append(real)
        return real

    def quantize(self, real, dtype=None, scale=None, zero=None, output=True):
        """QuantizeLinear, and the real it stands for is an activation for what follows."""
        dtype = dtype or self.kind()
        parameters = self.parameters(dtype, scale, zero)
        q = self.node("QuantizeLinear", [real, *parameters], dtype, real.shape)
        if output:
            self.outputs.append(q)
        if self.chance(0.3):
            again = self.node("DequantizeLinear", [q, *parameters], F32, real.shape)
            self.activations.append(again)
            if self.chance(0.3):
                self.outputs.append(again)
        return q

    def model(self, name):
        names = dict.fromkeys(o.name for o in self.outputs)
        outputs = [helper.make_empty_tensor_value_info(n) for n in names]
        graph = helper.make_graph(self.nodes, name, self.inputs, outputs, self.constants)
        opsets = [helper.make_opsetid("", self.opset)]
        if any(node.domain == MICROSOFT for node in self.nodes):
            opsets.append(helper.make_opsetid(MICROSOFT, 1))
        return helper.make_model(graph, opset_imports=opsets, ir_version=10 if self.opset > 20 else 8)
