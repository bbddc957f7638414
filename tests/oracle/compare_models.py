#!/usr/bin/env python3
"""Compares an executor with ONNX Runtime over whole test splits.

    compare_models.py --zkonnx BINARY [MODEL.onnx ...]
    compare_models.py --reference [MODEL.onnx ...]

Without MODEL, every quantized model of the models folder is compared, on the
`samples.npz` beside it. The executor is the `zkonnx` binary or the numpy
reference of this folder. Prints one line for each model and a table over all;
exits 1 if a difference is not covered by `allowances.json`. The reference has
no allowance.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx

import comparison
import ort_session
import reference

MODELS = Path(__file__).resolve().parents[2] / "models"
TIMEOUT_SECONDS = 600


def all_models():
    """The quantized models beside a test split; generated bench models lie deeper."""
    return [path for path in sorted(MODELS.glob("*/*.onnx")) if path.name != "float.onnx"]


def run_zkonnx(binary, path, samples_path):
    """The executor's dump, or the last line of its complaint as a `RuntimeError`."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "tensors.npz"
        command = [binary, "run", path, "--input", samples_path, "--dump-tensors", out]
        done = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise RuntimeError(f"exit code {done.returncode}: {lines[-1]}")
        with np.load(out) as archive:
            return dict(archive)


def compare_model(path, binary):
    """`(comparison, operators that ONNX Runtime ran in float)`."""
    model = onnx.load(path)
    samples_path = path.parent / "samples.npz"
    samples = ort_session.load_samples(samples_path, model)
    expected, in_float = ort_session.run_samples(model, samples)
    if binary is None:
        actual = reference.evaluate(model, samples)
    else:
        try:
            actual = run_zkonnx(binary, path, samples_path)
        except (RuntimeError, subprocess.TimeoutExpired, OSError) as error:
            return comparison.Comparison(problems=[str(error)]), in_float
    return comparison.compare(model, expected, actual), in_float


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    executor = parser.add_mutually_exclusive_group(required=True)
    executor.add_argument("--zkonnx", type=Path, metavar="BINARY")
    executor.add_argument("--reference", action="store_true")
    parser.add_argument("models", nargs="*", type=Path, metavar="MODEL.onnx")
    parser.add_argument("--json", type=Path, help="write all counts here as well")
    arguments = parser.parse_args()

    allowances = {} if arguments.reference else comparison.load_allowances()
    total, per_model, violations = comparison.Comparison(), {}, []
    for path in arguments.models or all_models():
        name = f"{path.parent.name}/{path.stem}"
        result, in_float = compare_model(path, arguments.zkonnx)
        total.add(result)
        per_model[name] = {**result.as_json(), "float_in_onnxruntime": in_float}
        found = result.violations(allowances)
        violations += [f"{name}: {sentence}" for sentence in found]
        counts = result.operators.values()
        elements = sum(c.elements for c in counts)
        differ = sum(c.original + c.inherited for c in counts)
        note = f"  (in float there: {', '.join(in_float)})" if in_float else ""
        note += "  FAILED" if found else ""
        print(f"{name:45}{elements:>10} elements{differ:>8} differ{note}")
    print(f"\n{total.table()}")
    if arguments.json:
        report = {"total": total.as_json(), "models": per_model}
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    for violation in violations:
        print(violation, file=sys.stderr)
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
