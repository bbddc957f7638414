"""Building small quantized graphs, one operator at a time."""

from dataclasses import dataclass

import numpy as np
from onnx import helper, numpy_helper

from graphs import Graph, Tensor

F32 = np.float32
MICROSOFT = "com.microsoft"


@dataclass
class Quantized:
    """An integer tensor with its scale and zero point; `shape` includes the batch of one."""

    name: str
    shape: list
    scale: np.float32
    zero: np.generic


class Net:
    """A graph under construction. Every tensor has the type `kind`, but for booleans.

    Each tensor that `done` or `group` makes is compared, and charged to its operator.
    """

    def __init__(self, name, rng, kind=np.uint8, opset=20, samples=4):
        self.name, self.rng, self.kind, self.opset = name, rng, kind, opset
        self.samples = samples
        self.pool = []
        self._nodes, self._constants, self._inputs, self._feeds = [], [], [], {}
        self._tensors, self._floats, self._used, self._count = [], {}, set(), 0

    # Numbers

    def integers(self, shape, kind=None):
        info = np.iinfo(kind or self.kind)
        return self.rng.integers(info.min, info.max + 1, shape).astype(kind or self.kind)

    def zero(self, kind=None):
        return self.integers((), kind)[()]

    def scale(self, low=0.005, high=0.08):
        return F32(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def choose(self, options):
        return options[int(self.rng.integers(len(options)))]

    # Parts

    def fresh(self, stem):
        self._count += 1
        return f"{stem}{self._count}"

    def constant(self, array, stem="c"):
        name = self.fresh(stem)
        self._constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, op, inputs, outputs=1, domain="", **attributes):
        """Appends a node; returns the name of its output, or the names of its outputs."""
        name = self.fresh(op.lower())
        results = [f"{name}_{i}" for i in range(outputs)]
        self._nodes.append(helper.make_node(op, inputs, results, name, domain=domain, **attributes))
        return results[0] if outputs == 1 else results

    def input(self, shape, scale=None, zero=None):
        """A graph input of integers, drawn for all samples."""
        name = self.fresh("x")
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(self.kind))
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))
        self._feeds[name] = self.integers([self.samples, *shape])
        tensor = Quantized(
            name,
            list(shape),
            self.scale() if scale is None else F32(scale),
            self.zero() if zero is None else self.kind(zero),
        )
        self.pool.append(tensor)
        return tensor

    def parameters(self, tensor):
        """Names of the constants that hold scale and zero point."""
        return [self.constant(tensor.scale, "scale"), self.constant(tensor.zero, "zero")]

    def real(self, tensor):
        """The dequantized tensor."""
        self._used.add(tensor.name)
        if tensor.name not in self._floats:
            inputs = [tensor.name, *self.parameters(tensor)]
            self._floats[tensor.name] = self.node("DequantizeLinear", inputs)
        return self._floats[tensor.name]

    def operands(self, tensor):
        """Inputs of a QLinear operator: the integers, the scale, the zero point."""
        self._used.add(tensor.name)
        return [tensor.name, *self.parameters(tensor)]

    def done(self, name, shape, operator, parents, scale, zero):
        """Registers an integer tensor that a node has made."""
        tensor = Quantized(name, [int(d) for d in shape], F32(scale), self.kind(zero))
        self._used.update(p.name for p in parents)
        self._tensors.append(Tensor(name, operator, [p.name for p in parents]))
        self.pool.append(tensor)
        return tensor

    def quantize(self, real, shape, operator, parents, scale, zero=None):
        """QuantizeLinear of a float tensor."""
        zero = self.zero() if zero is None else zero
        made = Quantized("", shape, F32(scale), self.kind(zero))
        name = self.node("QuantizeLinear", [real, *self.parameters(made)])
        return self.done(name, shape, operator, parents, scale, zero)

    def boolean(self, name, operator, parents):
        """Registers a boolean tensor, which stays outside of the pool."""
        self._used.update(p.name for p in parents)
        self._tensors.append(Tensor(name, operator, [p.name for p in parents]))
        return name

    def graph(self, operator=None):
        """The finished graph; its outputs are the tensors that nothing uses."""
        names = [t.name for t in self._tensors if t.name not in self._used]
        outputs = [helper.make_empty_tensor_value_info(name) for name in names]
        graph = helper.make_graph(self._nodes, self.name, self._inputs, outputs, self._constants)
        opsets = [helper.make_opsetid("", self.opset)]
        if any(node.domain == MICROSOFT for node in self._nodes):
            opsets.append(helper.make_opsetid(MICROSOFT, 1))
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        operator = operator or self._tensors[-1].operator
        return Graph(self.name, operator, model, self._feeds, tensors=self._tensors, several=True)
