"""One graph in both executions: refused, without an oracle, equal, or different and where."""

import json
import re
import select
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx

import ort_session

# How far a float output may be off, in units in the last place of the expected value, where it is not DequantizeLinear
# of proved integers: functions are rounded once here and approximated there.
TAIL_ULPS = 64
# Of these, in units of the output's largest element: their terms cancel.
SUMS = {"Softmax", "LogSoftmax", "Gemm", "MatMul", "Conv", "ConvTranspose", "ReduceSum", "ReduceMean", "AveragePool"}
TIMEOUT_SECONDS = 60


class Crash(Exception):
    """The binary ended or hung instead of answering."""


class Batch:
    """`zkonnx-bench batch`, started again after a crash."""

    def __init__(self, bench):
        self._command, self._process = [str(bench), "batch"], None

    def ask(self, arguments):
        """The exit code and the answer of one command line."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        self._process.stdin.write(json.dumps([str(a) for a in arguments]).encode() + b"\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], TIMEOUT_SECONDS)
        line = self._process.stdout.readline() if ready else b""
        if not line:
            self.close()
            raise Crash("no answer" if not ready else "ended without an answer")
        answer = json.loads(line)
        return answer["exit_code"], answer["answer"]

    def close(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@dataclass
class Difference:
    """An output that differs: how many elements of how many, and the largest distance of integers."""

    output: str
    kind: str
    elements: int = 0
    differing: int = 0
    largest: float = 0.0
    example: str = ""
    proved: bool = True


@dataclass
class Verdict:
    """`status` is one of refused, no oracle, equal, different, failed; `reason` is of the first two and the last."""

    status: str
    reason: str = ""
    operator: str = ""
    program_id: str = ""
    differences: list = field(default_factory=list)
    not_computed: int = 0
    expected: dict = field(default_factory=dict)


def oracle(model, feeds):
    """`{output: [samples]}` of ONNX Runtime."""
    runtime = ort_session.session(model)
    names = [o.name for o in runtime.get_outputs()]
    wanted = {i.name for i in runtime.get_inputs()}
    count = min(len(x) for x in feeds.values())
    rows = [runtime.run(names, {k: np.asarray(x[i]) for k, x in feeds.items() if k in wanted}) for i in range(count)]
    return {name: [row[j] for row in rows] for j, name in enumerate(names)}


_PROBLEM = re.compile(r"node `[^`]*` \((?:ai\.onnx\.)?([\w.]+), opset \d+\): (.*?)(?: {2}node|$)")


def refusal(message):
    """The operator that a refusal names, and the reason without what is particular to one graph."""
    text = " ".join(message.partition("model.onnx: ")[2].split()) or message
    found = _PROBLEM.search(text)
    operator, reason = found.groups() if found else ("", text)
    reason = reason.partition(" node `")[0]
    return operator, re.sub(r"`[^`]*`|-?\d[\d.e+-]*", "…", reason)[:120]


def run(batch, folder, model, feeds):
    """The answer of `zkonnx run`: exit code and JSON."""
    folder = Path(folder)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    np.savez(folder / "inputs.npz", **feeds)
    arguments = ["run", folder / "model.onnx", "--input", folder / "inputs.npz", "--json", "--quiet"]
    return batch.ask(arguments)


def _message(answer):
    error = answer.get("error", "")
    return error.get("message", "") if isinstance(error, dict) else error


def judge(batch, folder, model, feeds):
    try:
        expected = oracle(model, feeds)
    except Exception as error:  # ONNX Runtime's errors have no common base.
        return Verdict("no oracle", re.sub(r"\d+", "…", str(error).splitlines()[0])[:160])
    try:
        code, answer = run(batch, folder, model, feeds)
    except Crash as crash:
        return Verdict("failed", str(crash), expected=expected)
    if code == 2:
        operator, reason = refusal(_message(answer))
        return Verdict("refused", reason, operator, expected=expected)
    if code != 0:
        return Verdict("failed", f"exit code {code}: {_message(answer)}"[:200], expected=expected)
    verdict = Verdict("equal", program_id=answer["program_id"], expected=expected)
    direct, sums = _dequantized(model), any(n.op_type in SUMS for n in model.graph.node)
    for output in model.graph.output:
        _compare_output(verdict, output.name, expected[output.name], answer["results"], output.name in direct, sums)
    _compare_order(verdict, [o.name for o in model.graph.output], answer["results"][0]["outputs"])
    if verdict.differences:
        verdict.status = "different"
    return verdict


def _compare_order(verdict, names, proved):
    """The proved outputs of the model have the model's order, which is that of the claim."""
    order = [o["name"] for o in proved if o["name"] in names]
    if order != [name for name in names if name in order]:
        verdict.differences.append(Difference(order[0], "order"))


def _dequantized(model):
    """Outputs that DequantizeLinear makes: bits are compared."""
    return {n.output[0] for n in model.graph.node if n.op_type == "DequantizeLinear"}


def _named(result, name):
    for kind in ("outputs", "float_outputs"):
        for output in result.get(kind, []):
            if output.get("name") == name:
                return kind, output
    return None, None


def _compare_output(verdict, name, expected, results, direct, sums=False):
    total = Difference(name, "values")
    for result, want in zip(results, expected):
        kind, output = _named(result, name)
        if output is None:
            verdict.differences.append(Difference(name, "missing"))
            return
        if "reason" in output:
            verdict.not_computed += 1
            return
        if list(output["shape"]) != list(want.shape) and int(np.prod(output["shape"])) != want.size:
            verdict.differences.append(Difference(name, "shape", example=f"{output['shape']} instead of {list(want.shape)}"))
            return
        total.proved = kind == "outputs"
        _compare_values(total, output, want, direct and kind == "outputs", sums)
    if total.differing:
        verdict.differences.append(total)


def _compare_values(total, output, want, exact, sums):
    real = want.dtype.kind == "f"
    got = output["real"] if real and output.get("real") is not None else output["values"]
    flat = want.ravel()
    finite = np.abs(flat[np.isfinite(flat)]) if real else flat
    floor = float(finite.max(initial=0)) if sums and real and not exact else 0.0
    total.elements += flat.size
    for i, (a, w) in enumerate(zip(got, flat)):
        distance = _distance(a, w, exact, floor) if real else abs(int(a) - int(w))
        if distance:
            total.differing += 1
            total.largest = max(total.largest, float(distance))
            total.example = total.example or f"at {i} {a} instead of {w}"


def _distance(a, w, exact, floor=0.0):
    """Of a float that JSON shows (what is not finite may be null) from the expected one: in units in the last place."""
    if a is None:
        return 0 if not np.isfinite(w) else np.inf
    a = float(a)
    if np.isnan(a) or np.isnan(w):
        return 0 if np.isnan(a) and np.isnan(w) else np.inf
    if a == w:
        return 0
    if not np.isfinite(a) or not np.isfinite(w):
        return np.inf
    if abs(a - float(w)) <= TAIL_ULPS * float(np.spacing(np.float32(floor))) and floor:
        return 0
    bits = lambda x: int(np.float32(x).view(np.int32)) if x >= 0 else -int(np.float32(-x).view(np.int32))
    ulps = abs(bits(a) - bits(float(w)))
    return ulps if exact or ulps > TAIL_ULPS else 0


def labels(batch, folder):
    """`{node: rule}` of the nodes of the model in the folder that `zkonnx check` does not call exact."""
    try:
        code, answer = batch.ask(["check", Path(folder) / "model.onnx", "--json", "--quiet"])
    except Crash:
        return {}
    nodes = answer.get("nodes", []) if code == 0 else []
    return {n["node"]: n.get("rule") or n["status"] for n in nodes if n["status"] == "documented"}


def inexact(model, differences, rules):
    """The rule, if it is not exact, of a node that an output that differs depends on; `outside` past the proof; or None."""
    makers = {o: n for n in model.graph.node for o in n.output}
    stack, seen = [d.output for d in differences], set()
    while stack:
        node = makers.get(stack.pop())
        if node is None or node.name in seen:
            continue
        seen.add(node.name)
        if node.name in rules:
            return rules[node.name]
        stack.extend(node.input)
    return None if all(d.proved for d in differences) else "outside"


def save(model, feeds, path):
    """Keeps a model and its samples, `path` without an ending."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path.with_suffix(".onnx"))
    np.savez(path.with_suffix(".npz"), **feeds)
