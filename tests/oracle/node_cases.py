"""The ONNX backend node tests that lie in the domain of quantized inference.

`node_cases(operators)` yields a `Graph` for each single-node test of the pinned `onnx`
package whose operator is in `operators` (the binary's own list) and whose activations
are float32, bool or integers of at most 32 bits:

- an integer or quantized test is taken as it is, compared with the expected outputs of
  the package; what a quantized graph has as constants (scales, zero points, weights,
  axes, shapes) is an input in these tests and becomes an initializer;
- a float test is wrapped: each activation is quantized to uint8 over its range and
  dequantized, weights to int8, and a float output is quantized over the range of the
  expected one. It is compared with ONNX Runtime on the same wrapped graph. A case may
  differ by one step there (`Graph.tolerance`), because the functions of ONNX Runtime
  are not correctly rounded and averages are taken in another order.

Outside of the domain are the tests that `onnx` expands from functions, other element
types, integer arithmetic that wraps around (no quantized model has it), and training
outputs.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from graphs import Graph

# The newest opset that the pinned ONNX Runtime accepts; the package stamps a newer one.
NEWEST_OPSET = 26
# Operators that have not changed since before the oldest supported opset are stamped with this one.
OLDEST_OPSET, COMMON_OPSET = 10, 13
INTEGERS = {np.dtype(t) for t in ("u1", "i1", "u2", "i2", "i4", "bool")}
# Inputs that stay activations; all others are constants. The default is the first.
ACTIVATIONS = {
    "Add": 2, "Sub": 2, "Mul": 2, "And": 2, "Or": 2, "Xor": 2, "Equal": 2, "Greater": 2, "Less": 2,
    "GreaterOrEqual": 2, "LessOrEqual": 2, "Where": 3, "MatMul": 2, "Max": 99, "Min": 99,
    "Concat": 99,
}  # fmt: skip
# Weights of these are quantized to int8, as a quantizer does.
WEIGHTED = {"Conv", "ConvTranspose", "Gemm"}
# Arithmetic modulo 2^n on integers is no quantized inference.
WRAPPING = {"Add", "Sub", "Mul", "Div", "Mod", "Pow", "Abs", "Neg", "Sign", "ReduceSum", "ReduceMean",
            "CumSum"}


def _activations(node):
    if node.op_type == "QLinearMatMul":
        return {0, 3}
    return set(range(ACTIVATIONS.get(node.op_type, 1)))


def _tests():
    np.random.seed(0)
    from onnx.backend.test.loader import load_node_model_tests

    return load_node_model_tests()


def _plain(arrays):
    """All data as arrays of types that numpy knows, or `None`."""
    found = []
    for array in arrays:
        if isinstance(array, TensorProto):
            array = numpy_helper.to_array(array)
        if not isinstance(array, (np.ndarray, np.generic)):
            return None
        array = np.asarray(array)
        if array.dtype.kind not in "biuf":
            return None
        found.append(array)
    return found


def _in_domain(node, activations, outputs):
    kinds = {array.dtype for array in activations}
    wide = {np.dtype("f4"), np.dtype("i8")} | INTEGERS
    if not kinds or not all(kind in wide for kind in {a.dtype for a in outputs}):
        return False
    if any(array.size == 0 for array in [*activations, *outputs]):
        return False
    if kinds <= INTEGERS:
        return node.op_type not in WRAPPING
    # A condition or a mask may stand beside float activations.
    return kinds <= {np.dtype("f4"), np.dtype("bool")}


def _value_info(name, array):
    return helper.make_tensor_value_info(
        name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
    )


def _ranged(array, kind):
    """Scale and zero point that cover `array` and zero."""
    info = np.iinfo(kind)
    finite = array[np.isfinite(array)].astype(np.float64)
    low, high = min(0.0, finite.min(initial=0)), max(0.0, finite.max(initial=0))
    scale = np.float32(max((high - low) / (info.max - info.min), 1e-6))
    zero = np.clip(np.rint(info.min - low / scale), info.min, info.max)
    return scale, kind(zero)


def _quantized(array, scale, zero):
    info = np.iinfo(zero.dtype)
    return np.clip(np.rint(array / scale) + zero, info.min, info.max).astype(zero.dtype)


class _Wrapped:
    """A node between DequantizeLinear and QuantizeLinear."""

    def __init__(self):
        self.nodes, self.constants, self.inputs = [], [], {}

    def constant(self, name, array):
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def dequantized(self, name, array, weight=False):
        if weight:
            scale, zero = np.float32(max(np.abs(array).max() / 127, 1e-6)), np.int8(0)
        else:
            scale, zero = _ranged(array, np.uint8)
        integers = _quantized(array, scale, zero)
        if weight:
            self.constant(f"{name}_q", integers)
        else:
            self.inputs[f"{name}_q"] = integers
        parameters = [self.constant(f"{name}_s", scale), self.constant(f"{name}_z", zero)]
        self.nodes.append(
            helper.make_node("DequantizeLinear", [f"{name}_q", *parameters], [name], f"{name}_dq")
        )

    def quantized(self, name, expected):
        scale, zero = _ranged(expected, np.uint8)
        parameters = [self.constant(f"{name}_s", scale), self.constant(f"{name}_z", zero)]
        self.nodes.append(
            helper.make_node("QuantizeLinear", [name, *parameters], [f"{name}_q"], f"{name}_quant")
        )
        return f"{name}_q", np.zeros(np.shape(expected), np.uint8)


def _opset(version):
    return COMMON_OPSET if version < OLDEST_OPSET else min(version, NEWEST_OPSET)


def _model(test, nodes, inputs, outputs, constants):
    graph = helper.make_graph(
        nodes,
        test.name,
        [_value_info(name, array) for name, array in inputs.items()],
        [_value_info(name, array) for name, array in outputs],
        constants,
    )
    opsets = [
        helper.make_opsetid(o.domain, o.version if o.domain else _opset(o.version))
        for o in test.model.opset_import
    ]
    return helper.make_model(graph, opset_imports=opsets, ir_version=min(test.model.ir_version, 10))


def _graph(test, inputs, outputs):
    node = test.model.graph.node[0]
    position = {name: i for i, name in enumerate(node.input) if name}
    live = _activations(node)
    names = [value.name for value in test.model.graph.input]
    is_float = any(
        array.dtype == np.float32 for name, array in zip(names, inputs) if position[name] in live
    ) and node.op_type not in ("QuantizeLinear", "DequantizeLinear")
    wrapped = _Wrapped()
    for name, array in zip(names, inputs):
        weight = position[name] == 1 and node.op_type in WEIGHTED
        if is_float and array.dtype == np.float32 and (position[name] in live or weight):
            wrapped.dequantized(name, array, weight)
        elif position[name] in live:
            wrapped.inputs[name] = array
        else:
            wrapped.constant(name, array)
    if not is_float and all(array.dtype != np.float32 for array in outputs):
        expected = dict(zip((v.name for v in test.model.graph.output), outputs))
        model = _model(test, [node], wrapped.inputs, list(expected.items()), wrapped.constants)
        return Graph(test.name, node.op_type, model, wrapped.inputs, expected=expected)
    wrapped.nodes.append(node)
    results = []
    for value, array in zip(test.model.graph.output, outputs):
        if array.dtype == np.float32:
            results.append(wrapped.quantized(value.name, array))
        else:
            results.append((value.name, array))
    model = _model(test, wrapped.nodes, wrapped.inputs, results, wrapped.constants)
    return Graph(test.name, node.op_type, model, wrapped.inputs, tolerance=1)


def node_cases(operators):
    """Yields the graphs of all tests in the domain, in order of their names."""
    known = {"" if op["domain"] == "ai.onnx" else op["domain"]: set() for op in operators}
    for op in operators:
        if "import" not in op["exactness"]:
            known["" if op["domain"] == "ai.onnx" else op["domain"]].add(op["name"])
    for test in sorted(_tests(), key=lambda test: test.name):
        graph = test.model.graph
        if len(graph.node) != 1 or test.name.endswith("_expanded") or not test.data_sets:
            continue
        node = graph.node[0]
        if node.op_type not in known.get(node.domain, ()):
            continue
        inputs, outputs = (_plain(arrays) for arrays in test.data_sets[0])
        if inputs is None or outputs is None or len(inputs) != len(graph.input):
            continue
        position = {name: i for i, name in enumerate(node.input) if name}
        live = _activations(node)
        activations = [
            array for value, array in zip(graph.input, inputs) if position[value.name] in live
        ]
        if _in_domain(node, activations, outputs):
            yield _graph(test, inputs, outputs)
