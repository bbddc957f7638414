"""Running a model in ONNX Runtime with every quantized tensor visible."""

import functools
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

QUANTIZED_TYPES = {TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32}
# Left in float after fusion, these mean that a QDQ group was not run in integers.
FLOAT_ARITHMETIC = {
    "Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul",
    "Add", "AveragePool", "GlobalAveragePool",
}  # fmt: skip
# Operators whose output has the type of their first input.
TYPE_KEEPING = {
    "MaxPool", "Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Dropout",
}  # fmt: skip


def quantized_tensors(model):
    """`{tensor: operator}` for every activation that is int8, uint8 or int32.

    Tensors that depend on initializers alone are weights and are left out. The
    operator is the producing node's; for QuantizeLinear it is the operator of the
    QDQ group that it closes.
    """
    graph = model.graph
    types = {i.name: i.type.tensor_type.elem_type for i in graph.input}
    zero_points = {t.name: t.data_type for t in graph.initializer}
    live = {i.name for i in graph.input} - set(zero_points)
    producers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            zero_points[node.output[0]] = node.attribute[0].t.data_type
    found = {}
    for node in graph.node:
        if not live.intersection(node.input):
            continue
        live.update(node.output)
        kind = _output_type(node, types, zero_points)
        types[node.output[0]] = kind
        if kind in QUANTIZED_TYPES:
            found[node.output[0]] = _operator(node, producers)
    return found


def _output_type(node, types, constants):
    position = {
        "QuantizeLinear": 2, "QLinearConv": 7, "QLinearMatMul": 7, "QGemm": 8, "QLinearAdd": 7,
        "QLinearMul": 7, "QLinearAveragePool": 4, "QLinearGlobalAveragePool": 4,
    }.get(node.op_type)  # fmt: skip
    if position is not None:
        if len(node.input) <= position:
            return TensorProto.UINT8
        return constants.get(node.input[position], TensorProto.UINT8)
    if node.op_type in ("ConvInteger", "MatMulInteger"):
        return TensorProto.INT32
    if node.op_type in TYPE_KEEPING:
        return types.get(node.input[0], TensorProto.FLOAT)
    return TensorProto.FLOAT


def _operator(node, producers):
    if node.op_type != "QuantizeLinear":
        return node.op_type
    head = producers.get(node.input[0])
    while head is not None and head.op_type in ("Relu", "Clip"):
        before = producers.get(head.input[0])
        if before is None or before.op_type == "DequantizeLinear":
            break
        head = before
    return node.op_type if head is None else head.op_type


class NoReference(RuntimeError):
    """ONNX Runtime's answer on this processor is not the exact one."""


def session(model, optimized_path=None):
    """One thread, all optimizations, and s8s8 groups in integers too.

    On AVX2 without VNNI the kernels of u8s8 products add pairs of products in 16 bits
    and saturate. For constant weights u8u8 kernels can be had instead, which are exact.
    They are asked for only where it matters, since the rewriting behind them breaks
    s8s8 groups. What saturates all the same is no reference, and an error.
    """
    if not _saturates():
        return _session(model, optimized_path)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(optimized_path or Path(folder) / "optimized.onnx")
        made = _session(model, path)
        if not _may_saturate(path):
            return made
        made = _session(model, path, precise=True)
        if _may_saturate(path):
            raise NoReference("a u8s8 product may saturate on this processor")
        return made


def _session(model, optimized_path=None, precise=False):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    if precise:
        options.add_session_config_entry("session.x64quantprecision", "1")
    if optimized_path is not None:
        options.optimized_model_filepath = str(optimized_path)
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


# Kernels that saturate, with the places of their factors and of the zero points of these.
SATURATING = {
    "QLinearConv": (0, 3, 2, 5),
    "QLinearMatMul": (0, 3, 2, 5),
    "QGemm": (0, 3, 2, 5),
    "MatMulInteger": (0, 1, 2, 3),
    "MatMulIntegerToFloat": (0, 1, 4, 5),
    "DynamicQuantizeMatMul": (0, 1, 0, 3),
}


def _may_saturate(path):
    """Whether a rewritten graph multiplies u8 by s8 of more than 64, so that two products leave 16 bits.

    Types that it does not say count as those.
    """
    graph = onnx.load(path).graph
    weights = {t.name: t for t in graph.initializer}
    types = {name: t.data_type for name, t in weights.items()}
    types |= {i.name: i.type.tensor_type.elem_type for i in graph.input}

    def kind(node, places):
        names = [node.input[p] for p in places if p < len(node.input)]
        return next((types[n] for n in names if n in types), None)

    for node in graph.node:
        if node.op_type not in SATURATING:
            continue
        a, b, a_zero, b_zero = SATURATING[node.op_type]
        if kind(node, (a_zero, a)) == TensorProto.INT8 or kind(node, (b_zero, b)) == TensorProto.UINT8:
            continue
        constant = weights.get(node.input[b])
        if constant is None or (np.abs(numpy_helper.to_array(constant).astype(int)) > 64).any():
            return True
    return False


@functools.cache
def _saturates():
    """Whether this processor's kernels do, by the product of the largest values."""
    weights = numpy_helper.from_array(np.full((2, 1), 127, np.int8), "b")
    a = helper.make_tensor_value_info("a", TensorProto.UINT8, [1, 2])
    y = helper.make_tensor_value_info("y", TensorProto.INT32, [1, 1])
    node = helper.make_node("MatMulInteger", ["a", "b"], ["y"])
    graph = helper.make_graph([node], "p", [a], [y], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    largest = {"a": np.full((1, 2), 255, np.uint8)}
    return int(_session(model).run(None, largest)[0][0, 0]) != 2 * 255 * 127


def plain_session(model):
    """One thread, no rewriting: the float form of QDQ groups."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def with_outputs(model, tensors):
    """A copy of `model` that has the tensors named in `tensors` as outputs too."""
    extended = onnx.ModelProto()
    extended.CopyFrom(model)
    present = {output.name for output in model.graph.output}
    for name in tensors:
        if name not in present:
            # An output without a type takes the one that ONNX Runtime infers.
            extended.graph.output.append(onnx.ValueInfoProto(name=name))
    return extended


def executed_operators(model):
    """Operator types that remain after ONNX Runtime's rewriting, with their counts."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        session(model, path)
        counts = {}
        for node in onnx.load(path).graph.node:
            counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return counts


def load_samples(path, model):
    """`{input: [n, ...]}` for the model's inputs out of an `.npz` file."""
    fixed = {t.name for t in model.graph.initializer}
    with np.load(path) as archive:
        return {i.name: archive[i.name] for i in model.graph.input if i.name not in fixed}


def run_samples(model, samples, limit=None):
    """Runs sample by sample; `({tensor: [n, ...]}, operators left in float)`."""
    names = list(quantized_tensors(model))
    extended = with_outputs(model, names)
    runtime = session(extended)
    count = min(len(x) for x in samples.values())
    count = count if limit is None else min(count, limit)
    rows = []
    for i in range(count):
        rows.append(runtime.run(names, {name: x[i : i + 1] for name, x in samples.items()}))
    stacked = {name: np.stack(column) for name, column in zip(names, zip(*rows))}
    in_float = sorted(FLOAT_ARITHMETIC & set(executed_operators(extended)))
    return stacked, in_float
