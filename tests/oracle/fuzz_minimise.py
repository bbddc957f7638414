"""A smaller model that still differs: fewer outputs, nodes and samples, and constants in place of what is folded."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

import ort_session

MAX_TRIALS = 250
KEEPS = {"QuantizeLinear", "DequantizeLinear"}


def _pruned(model):
    """Without nodes, constants and inputs that no output needs."""
    graph = model.graph
    needed = {o.name for o in graph.output}
    nodes = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.append(node)
    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.node[:], made.graph.initializer[:], made.graph.input[:]
    made.graph.node.extend(reversed(nodes))
    made.graph.initializer.extend(t for t in graph.initializer if t.name in needed)
    made.graph.input.extend(i for i in graph.input if i.name in needed)
    return made


def _replaced(model, old, new, constants=()):
    """Every use of a tensor replaced by another."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for node in made.graph.node:
        for i, name in enumerate(node.input):
            if name == old:
                node.input[i] = new
    made.graph.initializer.extend(constants)
    return _pruned(made)


def _values(model, feeds):
    """`{tensor: value}` of the first sample, without rewriting."""
    names = [o for n in model.graph.node for o in n.output if o]
    runtime = ort_session.plain_session(ort_session.with_outputs(model, names))
    wanted = {i.name for i in runtime.get_inputs()}
    rows = runtime.run(names, {k: np.asarray(x[0]) for k, x in feeds.items() if k in wanted})
    values = dict(zip(names, rows))
    values.update({k: np.asarray(x[0]) for k, x in feeds.items()})
    values.update({t.name: numpy_helper.to_array(t) for t in model.graph.initializer})
    return values


def _constant_tensors(model):
    """Outputs of nodes that no input reaches."""
    live, found = {i.name for i in model.graph.input}, []
    for node in model.graph.node:
        if live.intersection(node.input):
            live.update(node.output)
        else:
            found.extend((node, o) for o in node.output)
    return found


def _smaller(model, feeds):
    """Candidates, the most promising first."""
    graph = model.graph
    for output in graph.output:
        if len(graph.output) > 1:
            made = onnx.ModelProto()
            made.CopyFrom(model)
            kept = [o for o in made.graph.output if o.name == output.name]
            del made.graph.output[:]
            made.graph.output.extend(kept)
            yield _pruned(made)
    try:
        values = _values(model, feeds)
    except Exception:  # ONNX Runtime's errors have no common base.
        return
    outputs = {o.name for o in graph.output}
    for node in reversed(graph.node):
        result = node.output[0]
        if result in outputs or node.op_type in KEEPS:
            continue
        for name in node.input:
            a, b = values.get(name), values.get(result)
            if a is not None and a.dtype == b.dtype and a.shape == b.shape:
                yield _replaced(model, result, name)
    for node, result in reversed(_constant_tensors(model)):
        if result not in outputs and (node.op_type != "Constant"):
            tensor = numpy_helper.from_array(np.asarray(values[result]), f"{result}_is")
            yield _replaced(model, result, tensor.name, [tensor])
    for name in [i.name for i in graph.input]:
        value = values.get(name)
        others = [i for i in graph.input if i.name != name]
        if others:
            tensor = numpy_helper.from_array(value, f"{name}_is")
            yield _replaced(model, name, tensor.name, [tensor])


def minimise(model, feeds, differs):
    """The smallest model found for which `differs(model, feeds)` holds, with its samples."""
    trials = 0
    count = min(len(x) for x in feeds.values())
    for i in range(count):
        one = {k: x[i : i + 1] for k, x in feeds.items()}
        if differs(model, one):
            feeds = one
            break
    shrunk = True
    while shrunk and trials < MAX_TRIALS:
        shrunk = False
        for candidate in _smaller(model, feeds):
            trials += 1
            if trials > MAX_TRIALS:
                break
            names = {i.name for i in candidate.graph.input}
            less = {k: x for k, x in feeds.items() if k in names}
            if names and differs(candidate, less):
                model, feeds, shrunk = candidate, less, True
                break
    return model, {k: x for k, x in feeds.items() if k in {i.name for i in model.graph.input}}


def describe(model, feeds):
    """What is left, as a line: operators with the attributes and types that matter."""
    words = []
    types = {t.name: numpy_helper.to_array(t).dtype.name for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in ("Constant",):
            continue
        attributes = [f"{a.name}={_short(helper.get_attribute_value(a))}" for a in node.attribute]
        zero = types.get(node.input[2]) if node.op_type in KEEPS and len(node.input) > 2 else None
        if zero:
            attributes.append(zero)
        words.append(node.op_type + (f"({', '.join(attributes)})" if attributes else ""))
    return " ".join(words)


def _short(value):
    if isinstance(value, bytes):
        return value.decode()
    return f"{value}".replace(" ", "")[:24]


def responsible(model):
    """The operators that are left beside quantization and constants, as the name of the difference."""
    live, left, folded = {i.name for i in model.graph.input}, [], []
    for node in model.graph.node:
        computed = bool(live.intersection(node.input))
        if computed:
            live.update(node.output)
        if node.op_type == "Constant":
            continue
        if computed and node.op_type not in KEEPS:
            left.append(node.op_type)
        elif not computed and node.op_type not in KEEPS:
            folded.append(f"folded {node.op_type}")
    names = sorted(set(left)) + sorted(set(folded))
    if not names:
        names = sorted({n.op_type for n in model.graph.node})
    return "+".join(names) if names else "nothing"
