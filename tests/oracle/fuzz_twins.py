"""Twins: a model changed in one place. Two of one program id have to be one function."""

import hashlib

import numpy as np
import onnx
from onnx import numpy_helper

SWAPPED = {"Add": "Sub", "Sub": "Add", "Max": "Min", "Min": "Max", "Relu": "Abs", "Less": "Greater", "ArgMax": "ArgMin"}


def _copy(model):
    made = onnx.ModelProto()
    made.CopyFrom(model)
    return made


def _renamed(rng, model):
    """Two inputs of one type exchange their names: the same steps, another function of the named inputs."""
    made, groups = _copy(model), {}
    for info in made.graph.input:
        tensor = info.type.tensor_type
        groups.setdefault((tensor.elem_type, tuple(d.dim_value for d in tensor.shape.dim)), []).append(info)
    pairs = [g for g in groups.values() if len(g) > 1]
    if not pairs:
        return None
    a, b = (pairs[int(rng.integers(len(pairs)))][i].name for i in (0, 1))
    other = {a: b, b: a}
    for info in made.graph.input:
        info.name = other.get(info.name, info.name)
    for node in made.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = other.get(name, name)
    return made


def _one_renamed(rng, model):
    """One input or output has another name."""
    made = _copy(model)
    old = made.graph.input[int(rng.integers(len(made.graph.input)))].name
    for info in made.graph.input:
        info.name = "renamed" if info.name == old else info.name
    for node in made.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = "renamed" if name == old else name
    return made


def _outputs(rng, model):
    """The outputs in another order."""
    made = _copy(model)
    if len(made.graph.output) < 2:
        return None
    outputs = list(made.graph.output)
    del made.graph.output[:]
    made.graph.output.extend(outputs[1:] + outputs[:1])
    return made


def _constant(rng, model):
    """One element of one constant changed, often by the least there is."""
    made = _copy(model)
    if not made.graph.initializer:
        return None
    tensor = made.graph.initializer[int(rng.integers(len(made.graph.initializer)))]
    array = numpy_helper.to_array(tensor).copy()
    if not array.size:
        return None
    flat = array.reshape(-1)
    i = int(rng.integers(flat.size))
    with np.errstate(all="ignore"):
        if array.dtype.kind == "f":
            kinds = (np.nextafter(flat[i], array.dtype.type(np.inf)), -flat[i], np.nan, flat[i] * 2, flat[i] + 1)
            flat[i] = kinds[int(rng.integers(len(kinds)))]
        elif array.dtype == np.bool_:
            flat[i] = not flat[i]
        else:
            info = np.iinfo(array.dtype)
            flat[i] = flat[i] - 1 if flat[i] > info.min else flat[i] + 1
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return made


def _operator(rng, model):
    made = _copy(model)
    nodes = [n for n in made.graph.node if n.op_type in SWAPPED]
    if not nodes:
        return None
    node = nodes[int(rng.integers(len(nodes)))]
    if node.op_type == "ArgMax" and any(a.name == "select_last_index" for a in node.attribute):
        return None
    node.op_type = SWAPPED[node.op_type]
    return made


def _attribute(rng, model):
    """One float or integer attribute changed."""
    made = _copy(model)
    found = [a for n in made.graph.node for a in n.attribute if a.name in ("alpha", "beta", "bias", "epsilon", "lambd", "upper", "count_include_pad", "ceil_mode", "fmod", "select_last_index")]
    if not found:
        return None
    attribute = found[int(rng.integers(len(found)))]
    if attribute.type == onnx.AttributeProto.FLOAT:
        attribute.f = attribute.f * 1.5 + 0.125
    else:
        attribute.i = 1 - attribute.i
    return made


CHANGES = (_renamed, _one_renamed, _outputs, _constant, _constant, _constant, _operator, _attribute)


def twin(rng, model):
    """A changed model and the change's name, or None."""
    change = CHANGES[int(rng.integers(len(CHANGES)))]
    made = change(rng, model)
    return None if made is None else (made, change.__name__.strip("_"))


def probe(info):
    """Values of an input that depend on its name and type alone."""
    tensor = info.type.tensor_type
    shape = [2, *(d.dim_value for d in tensor.shape.dim)]
    kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(info.name.encode()).digest()[:8], "little"))
    if kind.kind == "f":
        return rng.uniform(-4, 4, shape).astype(kind)
    if kind.kind == "b":
        return rng.random(shape) < 0.5
    # Small, so that they are places, too.
    return rng.integers(0, 2 if kind.itemsize > 2 else 256, shape).astype(kind) if kind != np.int8 else rng.integers(-128, 128, shape).astype(kind)


def function(model, oracle):
    """What the model computes of inputs that follow from their names: a digest over the outputs in order."""
    feeds = {i.name: probe(i) for i in model.graph.input}
    values = oracle(model, feeds)
    made = hashlib.sha256()
    for name, samples in values.items():
        for value in samples:
            made.update(f"{name} {value.dtype} {value.shape} ".encode())
            if value.dtype.kind == "f":
                # The last bits of functions are not what two models differ in; nor is the payload of a NaN.
                value = np.where(np.isnan(value), np.nan, np.round(value.astype(np.float64), 6)) + 0.0
            made.update(np.ascontiguousarray(value).tobytes())
    return made.hexdigest()[:24]
