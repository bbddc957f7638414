"""A model with inputs and what is known of its answer, and how the executor is judged on it."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx

import executor
import ort_session


@dataclass
class Tensor:
    """An integer tensor that is compared: the operator that makes it, and the tensors it is made of."""

    name: str
    operator: str
    parents: list


@dataclass
class Graph:
    """A model and inputs of one sample, or of several along a leading axis (`several`).

    Without `expected`, the answers are those of ONNX Runtime. `tolerance` is the largest
    difference of an element that counts as agreement, in quantization steps.
    """

    name: str
    operator: str
    model: onnx.ModelProto
    inputs: dict
    expected: dict | None = None
    tolerance: int = 0
    tensors: list = field(default_factory=list)
    several: bool = False
    # Whether its scales make many ties, so that its differences are counted apart.
    ties: bool = False
    # Why it has to be refused, if it has to.
    refused: str | None = None


@dataclass
class Verdict:
    """What became of a graph: `refused` says why it was not executed, `no_oracle` why ONNX
    Runtime does not run it. `counts` has `(operator, elements, differing, largest)` of each
    tensor, without the differences that were inherited from another tensor."""

    refused: str | None = None
    no_oracle: str | None = None
    counts: list = field(default_factory=list)
    problems: list = field(default_factory=list)
    satisfied: bool | None = None

    def differing(self):
        return sum(count[2] for count in self.counts)

    def largest(self):
        return max((count[3] for count in self.counts), default=0)


def _oracle(graph, names):
    """ONNX Runtime's tensors `{name: [n, ...]}`."""
    if graph.expected is not None:
        return {name: np.asarray(array)[None] for name, array in graph.expected.items()}
    extended = ort_session.with_outputs(graph.model, names)
    try:
        session = ort_session.session(extended)
    except Exception:  # ONNX Runtime's errors have no common base.
        if not graph.tolerance:
            raise
        # Some fusions make operators that ONNX Runtime then lacks; the float form is within the tolerance.
        session = ort_session.plain_session(extended)
    if not graph.several:
        return {n: a[None] for n, a in zip(names, session.run(names, graph.inputs))}
    count = len(next(iter(graph.inputs.values())))
    runs = [session.run(names, {k: v[i] for k, v in graph.inputs.items()}) for i in range(count)]
    return {name: np.stack(column) for name, column in zip(names, zip(*runs))}


def _compare(tensors, expected, computed, verdict):
    """Counts differences where they begin: a sample in which a parent differs is left out."""
    wrong = {}
    for tensor in tensors:
        want, got = expected[tensor.name], computed.get(tensor.name)
        if got is None:
            verdict.problems.append(f"there is no tensor {tensor.name}")
            continue
        if want.shape != got.shape:
            verdict.problems.append(f"{tensor.name} is {got.shape[1:]}, not {want.shape[1:]}")
            continue
        difference = np.abs(want.astype(np.float64) - got.astype(np.float64))
        difference = difference.reshape(len(want), -1)
        inherited = np.zeros(len(want), bool)
        for parent in tensor.parents:
            inherited |= wrong.get(parent, False)
        original = difference[~inherited]
        verdict.counts.append(
            (
                tensor.operator,
                original.size,
                int((original != 0).sum()),
                int(original.max(initial=0)),
            )
        )
        wrong[tensor.name] = inherited | (difference != 0).any(axis=1)


def judge(binary, graph, mock=False):
    """Runs `graph` in the executor, and in the mock prover too with `mock`, and compares."""
    verdict = Verdict()
    outputs = [output.name for output in graph.model.graph.output]
    tensors = graph.tensors or [Tensor(name, graph.operator, []) for name in outputs]
    try:
        expected = _oracle(graph, [tensor.name for tensor in tensors])
    except Exception as error:  # ONNX Runtime's errors have no common base.
        verdict.no_oracle = str(error).splitlines()[0][:200]
        return verdict
    inputs = graph.inputs if graph.several else {k: v[None] for k, v in graph.inputs.items()}
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        onnx.save(graph.model, scratch / "model.onnx")
        try:
            computed, _ = executor.run(binary, scratch / "model.onnx", inputs, scratch)
            if mock:
                verdict.satisfied = executor.accepted_by_mock(
                    binary, scratch / "model.onnx", inputs, scratch
                )
        except executor.Refused as error:
            verdict.refused = str(error).partition("model.onnx: ")[2] or str(error)
            return verdict
        except RuntimeError as error:
            verdict.problems.append(str(error))
            return verdict
    _compare(tensors, expected, computed, verdict)
    return verdict
