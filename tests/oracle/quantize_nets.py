#!/usr/bin/env python3
"""Quantizes small float nets with `zkonnx quantize` and takes them through all that follows.

    quantize_nets.py ZKONNX [--prove] [--every N] [--only TEXT] [--brief] [--form FORM]

For each net of `nets.py`, `torch_nets.py` and `trees.py`: `quantize`, the executor against ONNX Runtime on
every integer tensor of the quantized model, and the mock prover; with `--prove` also a
proof that `verify` accepts. Prints a table and totals; exits 1 if a net fails that
`nets_refused.txt` does not list, or one does not fail that it lists.

With `--form dynamic` the nets are first quantized by ONNX Runtime's dynamic quantizer, with `--form 7` (8, 9) they are
converted to that opset: those for which the tool can.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import version_converter  # noqa: F401, a module that onnx does not load
from onnxruntime.quantization import QuantType, quantize_dynamic

import ort_session
from graphs import Graph, judge
from nets import Net, nets
from tool_graphs import compared
from torch_nets import torch_nets
from trees import trees

REFUSED = Path(__file__).parent / "nets_refused.txt"
TIMEOUT_SECONDS = 600
# At least so many nets have each form: a tool that stops converting would else go unnoticed.
FORMS = {"dynamic": 113, "7": 41, "8": 41, "9": 47}


@dataclass
class Result:
    """What became of a net; `wrong` names the step that failed, with the reason."""

    wrong: str | None = None
    tail: str = ""
    error: float = float("nan")
    elements: int = 0
    differing: int = 0
    proof_bytes: int = 0


class Failed(Exception):
    """A command said no."""


def _call(binary, step, *arguments):
    command = [binary, "--json", "--quiet", step, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    if done.returncode:
        raise Failed(f"{step}: {' '.join(done.stderr.split()).partition('.onnx: ')[2] or done.stderr.strip()}")
    return json.loads(done.stdout)


def _outputs(model, samples):
    """The outputs of all samples in ONNX Runtime, as it runs float models."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    count = len(next(iter(samples.values())))
    runs = [session.run(None, {k: v[i] for k, v in samples.items()}) for i in range(count)]
    return [np.stack(column).astype(np.float64) for column in zip(*runs)]


def _error(net, quantized):
    """Largest difference of an output from the float model's, in spans of that output; for integers, the share that
    differs."""
    worst = 0.0
    for a, b, info in zip(_outputs(net.model, net.samples), _outputs(quantized, net.samples), net.model.graph.output):
        if info.type.tensor_type.elem_type in (onnx.TensorProto.BOOL, onnx.TensorProto.INT64):
            worst = max(worst, float((a != b).mean()))
        else:
            worst = max(worst, float(np.abs(a - b).max()) / max(float(np.ptp(a)), 1e-9))
    return worst


def examined(binary, net, prove):
    """Takes a net through all steps."""
    result = Result()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        source, target, data, receipt = (folder / name for name in ("f.onnx", "q.onnx", "x.npz", "receipt"))
        onnx.save(net.model, source)
        np.savez(data, **net.samples)
        try:
            answer = _call(binary, "quantize", source, "--calibrate", data, "-o", target, "--accept-error")
            result.tail = ", ".join(sorted({node["op"] for node in answer["not_proved"]}))
            _call(binary, "check", target)
            if prove:
                one = folder / "one.npz"
                np.savez(one, **{name: values[0] for name, values in net.samples.items()})
                _call(binary, "prove", target, "--input", one, "-o", receipt)
                _call(binary, "verify", receipt, "--model", target)
                result.proof_bytes = receipt.stat().st_size
        except Failed as failure:
            result.wrong = str(failure)
            return result
        quantized = onnx.load(target)
    graph = Graph(net.name, net.kind, quantized, net.samples, tensors=compared(quantized), several=True)
    verdict = judge(binary, graph, mock=True)
    result.elements = sum(count[1] for count in verdict.counts)
    result.differing = verdict.differing()
    problems = [verdict.no_oracle, verdict.refused, *verdict.problems]
    if verdict.satisfied is False:
        problems.append("mock: the circuit does not accept the execution")
    result.wrong = "; ".join(problem for problem in problems if problem) or None
    if result.wrong is None:
        result.error = _error(net, quantized)
    return result


def _dynamic(net):
    """The net as ONNX Runtime's dynamic quantizer leaves it; `None` where it finds nothing to quantize."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "f.onnx", Path(folder) / "d.onnx"
        onnx.save(net.model, source)
        quantize_dynamic(source, target, weight_type=QuantType.QInt8)
        model = onnx.load(target)
    return model if any("Dynamic" in node.op_type for node in model.graph.node) else None


def formed(net, form):
    """The net in another form; `None` if it has none."""
    try:
        if form == "dynamic":
            model = _dynamic(net)
        else:
            model = onnx.version_converter.convert_version(net.model, int(form))
            onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception:  # The tools' errors have no common base, and a net without the form is none of ours.
        return None
    return None if model is None else Net(net.name, net.kind, model, net.samples)


def _refused():
    """`{net: reason}` of those that are known to be refused."""
    lines = [line for line in REFUSED.read_text().splitlines() if line and line[0] != "#"]
    return {name.strip(): reason.strip() for name, _, reason in (line.partition("|") for line in lines)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("zkonnx")
    parser.add_argument("--prove", action="store_true", help="real proofs as well")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each Nth net")
    parser.add_argument("--only", default="", metavar="TEXT", help="only nets with this in name or kind")
    parser.add_argument("--form", choices=("float", "dynamic", "7", "8", "9"), default="float")
    parser.add_argument("--brief", action="store_true", help="totals and failures only")
    arguments = parser.parse_args()
    chosen = [n for n in [*nets(), *torch_nets(), *trees()] if arguments.only in n.name or arguments.only in n.kind]
    if arguments.form != "float":
        chosen = [other for other in (formed(net, arguments.form) for net in chosen) if other]
        least = FORMS[arguments.form] if not arguments.only else 1
        if len(chosen) < least:
            sys.exit(f"{len(chosen)} nets have the form {arguments.form}, {least} are expected")
    chosen = chosen[:: arguments.every]
    if not chosen:
        sys.exit("no net is chosen")
    known, kinds, bad = _refused(), {}, []
    show = (lambda *_, **__: None) if arguments.brief else print
    show(f"{'net':32}{'kind':15}{'error':>8}{'elements':>10}{'differ':>8}{'bytes':>8}  outside the proof, or failure")
    with ThreadPoolExecutor(os.cpu_count() or 1) as workers:
        results = workers.map(lambda n: examined(arguments.zkonnx, n, arguments.prove), chosen)
        for net, result in zip(chosen, results):
            good, total, full = kinds.get(net.kind, (0, 0, 0))
            kinds[net.kind] = (good + (result.wrong is None), total + 1, full + (result.wrong is None and not result.tail))
            show(
                f"{net.name:32}{net.kind:15}{result.error:8.4f}{result.elements:10}{result.differing:8}"
                f"{result.proof_bytes:8}  {result.wrong or result.tail}",
                flush=True,
            )
            if (result.wrong is not None) != (net.name in known):
                bad.append(f"{net.name}: {result.wrong or 'listed as refused, but nothing fails'}")
    show()
    for kind, (good, total, full) in kinds.items():
        show(f"{kind:15}{good:4} of {total:3} nets pass, {full} of them without a float tail")
    good, total, full = (sum(column) for column in zip(*kinds.values()))
    proved = "quantized, proved and verified" if arguments.prove else "quantized, accepted by the mock prover"
    print(f"nets: {good} of {total} {proved}; {full} without a float tail")
    for line in bad:
        print(line, file=sys.stderr)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
