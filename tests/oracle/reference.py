"""An independent evaluation of quantized ONNX graphs in integers.

`evaluate` walks a graph in the QOperator or the QDQ form and returns every
quantized tensor. A QDQ group `DequantizeLinear … operator … QuantizeLinear` is
evaluated as the integer kernel of `kernels.py` that the group stands for; nothing
but elementwise operators and data movement is ever computed in float.
"""

import numpy as np
from onnx import helper, numpy_helper

import kernels
from arithmetic import F32, dequantize, quantize

MICROSOFT = "com.microsoft"


class UnsupportedError(Exception):
    """The graph holds something this reference does not define."""


def attributes_of(node):
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def _axes(node, values, attributes):
    """Axes of Squeeze and Unsqueeze: an attribute until opset 12, then an input."""
    if "axes" in attributes:
        return tuple(attributes["axes"])
    if len(node.input) > 1 and node.input[1]:
        return tuple(int(a) for a in values[1])
    return None


def _move(node, values):
    """Operators that only rearrange; they are the same on floats and on integers."""
    attributes, x = attributes_of(node), values[0]
    match node.op_type:
        case "Identity" | "Dropout":
            return x
        case "Flatten":
            axis = attributes.get("axis", 1)
            rows = x.shape[: axis + x.ndim if axis < 0 else axis]
            return x.reshape(int(np.prod(rows, dtype=int)), -1)
        case "Reshape":
            wanted = [int(v) for v in values[1]]
            if not attributes.get("allowzero", 0):
                wanted = [x.shape[i] if v == 0 else v for i, v in enumerate(wanted)]
            return x.reshape(wanted)
        case "Transpose":
            return x.transpose(attributes.get("perm", range(x.ndim)[::-1]))
        case "Squeeze":
            return np.squeeze(x, _axes(node, values, attributes))
        case "Unsqueeze":
            return np.expand_dims(x, _axes(node, values, attributes))
    return None


MOVES = {"Identity", "Dropout", "Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze"}
CLAMPS = {"Relu", "Clip"}


def _clip_limits(node, values):
    """Lower and upper limit of Relu or Clip, `None` where there is none."""
    if node.op_type == "Relu":
        return F32(0), None
    attributes = attributes_of(node)
    limits = [attributes.get("min"), attributes.get("max")]
    for index, value in enumerate(values[1:3]):
        limits[index] = value if value is not None else limits[index]
    return tuple(None if limit is None else F32(limit) for limit in limits)


def _integer_kernel(node, values):
    """Operators whose own inputs are quantized."""
    attributes = attributes_of(node)
    if node.domain == MICROSOFT:
        match node.op_type:
            case "QGemm":
                a, b, c, y = values[:3], values[3:6], values[6], values[7:9]
                return kernels.qgemm(*a, *b, c, *y, attributes)
            case "QLinearAdd":
                return kernels.qlinear_add(*values)
            case "QLinearAveragePool":
                return kernels.qlinear_average_pool(*values, attributes)
            case "QLinearGlobalAveragePool":
                return kernels.qlinear_global_average_pool(*values)
        return None
    match node.op_type:
        case "QLinearConv":
            bias = values[8] if len(values) > 8 else None
            return kernels.qlinear_conv(*values[:8], bias, attributes)
        case "QLinearMatMul":
            return kernels.qlinear_matmul(*values)
        case "ConvInteger":
            return kernels.conv_integer(*values[:2], *_zeros(values), attributes)
        case "MatMulInteger":
            return kernels.matmul_integer(*values[:2], *_zeros(values))
        case "MaxPool":
            return kernels.max_pool(values[0], attributes)
        case "Clip":
            low, high = (list(values[1:]) + [None, None])[:2]
            x = values[0] if low is None else np.maximum(values[0], low)
            return x if high is None else np.minimum(x, high)
    return None


def _zeros(values):
    """The optional zero points of ConvInteger and MatMulInteger."""
    given = list(values[2:4]) + [None] * (4 - len(values))
    return [np.int32(0) if zero is None else zero for zero in given]


def _float_operator(node, values):
    """Elementwise operators and pools that no integer kernel exists for."""
    match node.op_type:
        case "Relu" | "Clip":
            low, high = _clip_limits(node, values)
            x = values[0] if low is None else np.maximum(values[0], low)
            return x if high is None else np.minimum(x, high)
        case "MaxPool":
            return kernels.max_pool(values[0], attributes_of(node))
        case "BatchNormalization":
            return kernels.batch_normalization(*values, attributes_of(node))
    return _move(node, values)


class _Evaluation:
    """One run. `known` holds every tensor computed; `producers` the node of each tensor."""

    def __init__(self, graph, feeds):
        self.known = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        self.known.update(feeds)
        self.producers = {name: node for node in graph.node for name in node.output}
        self.quantized = {}

    def value(self, name):
        """The tensor `name`; float tensors are computed when first asked for."""
        if not name:
            return None
        if name not in self.known:
            node = self.producers[name]
            values = [self.value(i) for i in node.input]
            result = _float_operator(node, values)
            if result is None:
                raise UnsupportedError(f"{node.op_type} {node.name!r} outside a QDQ group")
            self.known[name] = result
        return self.known[name]

    def visit(self, node):
        if node.op_type == "Constant":
            (attribute,) = node.attribute
            value = helper.get_attribute_value(attribute)
            array = numpy_helper.to_array(value) if attribute.name == "value" else np.array(value)
            self.known[node.output[0]] = array.astype(F32) if array.dtype == F32 else array
            return
        if node.op_type == "QuantizeLinear":
            self._record(node, self._quantize(node))
        elif node.op_type == "DequantizeLinear":
            self.known[node.output[0]] = self._dequantize(node)
        elif self._takes_integers(node):
            values = [self.value(i) for i in node.input]
            result = _integer_kernel(node, values)
            result = _move(node, values) if result is None else result
            if result is None:
                raise UnsupportedError(f"{node.op_type} {node.name!r} on integers")
            self._record(node, result)

    def _record(self, node, result):
        name = node.output[0]
        self.known[name] = self.quantized[name] = result

    def _takes_integers(self, node):
        name = node.input[0]
        return name in self.known and self.known[name].dtype in (np.int8, np.uint8, np.int32)

    def _scale_and_zero(self, node, rank, default):
        scale = self.value(node.input[1])
        zero = self.value(node.input[2]) if len(node.input) > 2 else default(0)
        zero = np.asarray(zero)
        if scale.size > 1:
            shape = [1] * rank
            shape[attributes_of(node).get("axis", 1)] = -1
            return scale.reshape(shape), zero.reshape(shape) if zero.size > 1 else zero
        return scale.reshape(()), zero.reshape(())

    def _dequantize(self, node):
        q = self.value(node.input[0])
        scale, zero = self._scale_and_zero(node, q.ndim, q.dtype.type)
        return dequantize(q, scale, zero)

    def _quantize(self, node):
        """Evaluates the group that ends in this QuantizeLinear."""
        source, tail = node.input[0], []
        head = self.producers.get(source)
        while head is not None and head.op_type in MOVES | CLAMPS:
            tail.append(head)
            source = head.input[0]
            head = self.producers.get(source)
        kernel = self._group(head, node) if head is not None else None
        if kernel is None:
            x = self.value(node.input[0])
            return quantize(x, *self._scale_and_zero(node, x.ndim, np.uint8))
        scale, zero = self._scale_and_zero(node, 0, np.uint8)
        for step in reversed(tail):
            values = [kernel, *(self.value(i) for i in step.input[1:])]
            if step.op_type in MOVES:
                kernel = _move(step, values)
                continue
            # Quantization is monotone, so it may be moved before a clamp.
            low, high = _clip_limits(step, values)
            kernel = kernel if low is None else np.maximum(kernel, quantize(low, scale, zero))
            kernel = kernel if high is None else np.minimum(kernel, quantize(high, scale, zero))
        return kernel

    def _operand(self, name):
        """`(q, scale, zero point)` of a tensor that a DequantizeLinear produced."""
        node = self.producers.get(name)
        if node is None or node.op_type != "DequantizeLinear":
            raise UnsupportedError(f"{name!r} is not dequantized")
        q, scale = self.value(node.input[0]), self.value(node.input[1])
        zero = self.value(node.input[2]) if len(node.input) > 2 else q.dtype.type(0)
        return q, scale.reshape(()) if scale.size == 1 else scale, np.asarray(zero)

    def _bias(self, head, x_scale, w_scale):
        """The int32 bias; a float bias is rounded to multiples of x scale * w scale."""
        if len(head.input) < 3 or not head.input[2]:
            return None
        node = self.producers.get(head.input[2])
        if node is not None and node.op_type == "DequantizeLinear":
            return self.value(node.input[0])
        unit = (x_scale * w_scale).astype(F32)
        return np.rint((self.value(head.input[2]) / unit).astype(F32)).astype(np.int32)

    def _group(self, head, node):
        """The integer kernel of the QDQ group around `head`, or `None` if it has none."""
        attributes = attributes_of(head)
        y_scale, y_zero = self._scale_and_zero(node, 0, np.uint8)
        match head.op_type:
            case "Conv":
                x, w = self._operand(head.input[0]), self._operand(head.input[1])
                bias = self._bias(head, x[1], w[1])
                return kernels.qlinear_conv(*x, *w, y_scale, y_zero, bias, attributes)
            case "Gemm":
                a, b = self._operand(head.input[0]), self._operand(head.input[1])
                bias = self._bias(head, a[1], b[1])
                return kernels.qgemm(*a, *b, bias, y_scale, y_zero, attributes)
            case "MatMul":
                a, b = self._operand(head.input[0]), self._operand(head.input[1])
                return kernels.qlinear_matmul(*a, *b, y_scale, y_zero)
            case "Add":
                a, b = self._operand(head.input[0]), self._operand(head.input[1])
                return kernels.qlinear_add(*a, *b, y_scale, y_zero)
            case "AveragePool":
                x = self._operand(head.input[0])
                return kernels.qlinear_average_pool(*x, y_scale, y_zero, attributes)
            case "GlobalAveragePool":
                x = self._operand(head.input[0])
                return kernels.qlinear_global_average_pool(*x, y_scale, y_zero)
        return None


def evaluate(model, feeds):
    """All quantized activations of `model` for `feeds`, `{tensor name: array}`.

    The batch axis may be as long as wished where every operator keeps it apart.
    """
    evaluation = _Evaluation(model.graph, feeds)
    for node in model.graph.node:
        evaluation.visit(node)
    return evaluation.quantized


def evaluate_outputs(model, feeds):
    """The graph's outputs for `feeds`, in the graph's order."""
    evaluation = _Evaluation(model.graph, feeds)
    for node in model.graph.node:
        evaluation.visit(node)
    return [evaluation.value(output.name) for output in model.graph.output]
