"""Builds one graph in either quantized form from one description.

A `Quantized` tensor has integers, a scale and a zero point. `Builder.apply` takes
the float operator's name and writes the QLinear operator (QOperator form) or the
operator between DequantizeLinear and QuantizeLinear (QDQ form).
"""

import zlib
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

F32 = np.float32
QDQ, QOPERATOR = "qdq", "qoperator"
FORMS = (QOPERATOR, QDQ)
MICROSOFT = "com.microsoft"
NUMPY_TYPES = {"u8": np.uint8, "s8": np.int8}
# Float operators whose QOperator form is a QLinear operator, and its domain.
QLINEAR = {
    "Conv": ("QLinearConv", ""),
    "MatMul": ("QLinearMatMul", ""),
    "Gemm": ("QGemm", MICROSOFT),
    "Add": ("QLinearAdd", MICROSOFT),
    "AveragePool": ("QLinearAveragePool", MICROSOFT),
    "GlobalAveragePool": ("QLinearGlobalAveragePool", MICROSOFT),
}
# The highest opset that the pinned ONNX Runtime accepts.
NEWEST_OPSET = 26
DEFAULT_OPSET = 17


@dataclass
class Case:
    """A model with its inputs `{name: array}`; `quantized` names the integers behind
    each graph output."""

    name: str
    operator: str
    form: str
    opset: int
    model: onnx.ModelProto
    inputs: dict
    quantized: list
    note: str = ""


@dataclass
class Quantized:
    """A quantized tensor of the graph under construction.

    `axis` is the channel axis if `scale` is a vector. `dequantized` caches the QDQ
    form's float tensor.
    """

    name: str
    scale: np.ndarray
    zero: np.ndarray
    axis: int | None = None
    dequantized: str | None = field(default=None, repr=False)


class Builder:
    """One case. `rng` depends on the name alone, so cases do not disturb each other.

    With `float_io` (QDQ only) the graph's inputs and outputs are floats and pass
    through QuantizeLinear and DequantizeLinear, as in a real model; otherwise they
    are integers.
    """

    def __init__(self, name, operator, form, opset=DEFAULT_OPSET, float_io=False, note=""):
        self.form = form
        self.opset = opset
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))
        self._case = Case(f"{name}_{form}", operator, form, opset, None, {}, [], note)
        self._float_io = float_io
        self._nodes = []
        self._initializers = []
        self._graph_inputs = []
        self._graph_outputs = []
        self._names = {}
        self._uses_microsoft = False

    def fresh(self, stem):
        index = self._names[stem] = self._names.get(stem, -1) + 1
        return f"{stem}{index}"

    def node(self, op_type, inputs, domain="", **attributes):
        """Appends a node with one output and returns the output's name."""
        name = self.fresh(op_type.lower())
        self._uses_microsoft |= domain == MICROSOFT
        self._nodes.append(
            helper.make_node(op_type, inputs, [f"{name}_y"], name, domain=domain, **attributes)
        )
        return f"{name}_y"

    def initializer(self, stem, array):
        name = self.fresh(stem)
        self._initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def constant(self, stem, array):
        """The same as `initializer`, but as a Constant node."""
        name = self.fresh(stem)
        value = numpy_helper.from_array(np.asarray(array), f"{name}_value")
        self._nodes.append(helper.make_node("Constant", [], [name], f"{name}_node", value=value))
        return name

    def float_input(self, values):
        name = self.fresh("x")
        self._declare(self._graph_inputs, name, values.astype(F32))
        self._case.inputs[name] = values.astype(F32)
        return name

    def input(self, integers, scale, zero):
        """A graph input that holds `integers`."""
        scale, zero = F32(scale), integers.dtype.type(zero)
        if self._float_io:
            # These floats quantize back to exactly the given integers.
            floats = ((integers.astype(np.int32) - np.int32(zero)).astype(F32) * scale).astype(F32)
            name = self.quantize(self.float_input(floats), scale, zero)
        else:
            name = self.fresh("x")
            self._declare(self._graph_inputs, name, integers)
            self._case.inputs[name] = integers
        return Quantized(name, scale, zero)

    def weight(self, integers, scale, zero, axis=None, as_constant=False):
        """A constant operand; vectors `scale` and `zero` belong to `axis`."""
        store = self.constant if as_constant else self.initializer
        zero = np.asarray(zero, integers.dtype)
        return Quantized(store("w", integers), np.asarray(scale, F32), zero, axis)

    def _declare(self, group, name, array):
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        group.append(helper.make_tensor_value_info(name, kind, array.shape))

    def quantize(self, name, scale, zero):
        inputs = [name, self.initializer("scale", F32(scale)), self.initializer("zero", zero)]
        return self.node("QuantizeLinear", inputs)

    def dequantize(self, tensor):
        if tensor.dequantized is None:
            axis = {} if tensor.axis is None else {"axis": tensor.axis}
            inputs = [tensor.name, *self._parameters(tensor)]
            tensor.dequantized = self.node("DequantizeLinear", inputs, **axis)
        return tensor.dequantized

    def _parameters(self, tensor):
        return [self.initializer("scale", tensor.scale), self.initializer("zero", tensor.zero)]

    def apply(self, operator, operands, scale, zero, bias=None, clamps=(), **attributes):
        """Applies a QLINEAR operator; the result has `scale` and `zero`.

        `bias` is int32 in units of the operands' scales. `clamps` are `(operator,
        inputs)` placed before QuantizeLinear, in the QDQ form only.
        """
        scale = F32(scale)
        if self.form == QDQ:
            name = self._apply_qdq(operator, operands, bias, clamps, attributes)
            return Quantized(self.quantize(name, scale, zero), scale, zero)
        op_type, domain = QLINEAR[operator]
        inputs = []
        for operand in operands:
            inputs += [operand.name, *self._parameters(operand)]
        result = [self.initializer("scale", scale), self.initializer("zero", zero)]
        addend = None if bias is None else self.initializer("bias", bias)
        if operator == "Gemm":
            inputs += [addend or "", *result]
        else:
            inputs += result + ([addend] if addend else [])
        return Quantized(self.node(op_type, inputs, domain, **attributes), scale, zero)

    def _apply_qdq(self, operator, operands, bias, clamps, attributes):
        inputs = [self.dequantize(operand) for operand in operands]
        if bias is not None:
            unit = (operands[0].scale * operands[1].scale).astype(F32)
            axis = 0 if unit.size > 1 else None
            zero = np.zeros(unit.shape, np.int32)
            addend = Quantized(self.initializer("bias", bias), unit, zero, axis)
            inputs.append(self.dequantize(addend))
        name = self.node(operator, inputs, **attributes)
        for clamp, limits in clamps:
            name = self.node(clamp, [name, *limits])
        return name

    def keep(self, operator, tensor, extra=(), scale=None, zero=None, **attributes):
        """An operator of one tensor that exists on integers as well (data movement,
        MaxPool); in the QDQ form it may change scale and zero point."""
        if self.form == QOPERATOR:
            name = self.node(operator, [tensor.name, *extra], **attributes)
            return Quantized(name, tensor.scale, tensor.zero)
        scale = tensor.scale if scale is None else F32(scale)
        zero = tensor.zero if zero is None else zero
        name = self.node(operator, [self.dequantize(tensor), *extra], **attributes)
        return Quantized(self.quantize(name, scale, zero), scale, zero)

    def output(self, tensor):
        """Makes `tensor` a graph output, dequantized if the case has float outputs."""
        self._case.quantized.append(tensor.name)
        name = self.dequantize(tensor) if self._float_io else tensor.name
        kind = TensorProto.FLOAT if self._float_io else self._kind(tensor)
        self._graph_outputs.append(helper.make_tensor_value_info(name, kind, None))

    def output_name(self, name, kind):
        """Makes any tensor a graph output."""
        self._case.quantized.append(name)
        self._graph_outputs.append(helper.make_tensor_value_info(name, kind, None))

    @staticmethod
    def _kind(tensor):
        return helper.np_dtype_to_tensor_dtype(np.asarray(tensor.zero).dtype)

    def build(self):
        opsets = [helper.make_opsetid("", self.opset)]
        if self._uses_microsoft:
            opsets.append(helper.make_opsetid(MICROSOFT, 1))
        graph = helper.make_graph(
            self._nodes, self._case.name, self._graph_inputs, self._graph_outputs,
            self._initializers,
        )  # fmt: skip
        self._case.model = helper.make_model(
            graph,
            opset_imports=opsets,
            ir_version=max(5, helper.find_min_ir_version_for(opsets, ignore_unknown=True)),
            producer_name="zkonnx-cases",
        )
        return self._case


def integers(rng, types, shape):
    """Uniform over the whole type, with both ends present where there is room."""
    limits = np.iinfo(NUMPY_TYPES[types])
    values = rng.integers(limits.min, limits.max + 1, shape).astype(limits.dtype)
    if values.size > 1:
        values.flat[0], values.flat[-1] = limits.min, limits.max
    return values


def zero_point(types, offset):
    """`offset` counted from the type's lowest value."""
    kind = NUMPY_TYPES[types]
    return kind(np.iinfo(kind).min + offset)


def scale(rng, low=0.002, high=0.05):
    return F32(np.exp(rng.uniform(np.log(low), np.log(high))))


def spread_scale(x_scale, w_scale, terms, x_rms=74.0, w_rms=74.0):
    """An output scale under which the sum of `terms` products fills 8 bits and
    saturates now and then."""
    return F32(x_scale * np.max(w_scale) * np.sqrt(terms) * x_rms * w_rms / 45)
