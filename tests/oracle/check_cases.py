#!/usr/bin/env python3
"""Compares the numpy reference or the executor with the cases that `gen_cases.py` wrote.

    check_cases.py FOLDER [--zkonnx BINARY]

Prints a table over the operators; exits 1 if any element differs.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx

import executor
import reference
from comparison import Comparison, Count


# What the executor refuses, by a part of its message; everything else has to run.
REFUSED = (
    "outside I32",  # Accumulators outside int32, which only the bias of these cases reaches.
    "neither one value nor one for each channel",  # A bias that differs along both axes.
)


def _reference_answers(folder, description, feeds):
    """The outputs of the reference and what they are compared with."""
    answers = reference.evaluate_outputs(onnx.load(folder / "model.onnx"), feeds)
    return answers, [np.load(folder / f"output_{j}.npy") for j in range(len(answers))]


def _executor_answers(binary, folder, description, feeds):
    """The integers behind the outputs, by the executor and by ONNX Runtime."""
    samples = {name: array[None] for name, array in feeds.items()}
    with tempfile.TemporaryDirectory() as scratch:
        tensors, _ = executor.run(binary, folder / "model.onnx", samples, Path(scratch))
    expected = []
    for j in range(len(description["quantized"])):
        integers = folder / f"quantized_{j}.npy"
        expected.append(np.load(integers if integers.exists() else folder / f"output_{j}.npy"))
    return [tensors[t["name"]][0] for t in description["quantized"]], expected


def check(folder, binary):
    """`(description, Comparison)` of one case."""
    description = json.loads((folder / "case.json").read_text())
    feeds = {
        tensor["name"]: np.load(folder / f"input_{i}.npy")
        for i, tensor in enumerate(description["inputs"])
    }
    result = Comparison()
    name = description["name"]
    try:
        if binary is None:
            answers, wanted = _reference_answers(folder, description, feeds)
        else:
            answers, wanted = _executor_answers(binary, folder, description, feeds)
    except (reference.UnsupportedError, executor.Refused, KeyError) as error:
        if binary is None or not any(part in str(error) for part in REFUSED):
            result.problems.append(f"{name}: {error}")
        return description, result
    for j, (answer, expected) in enumerate(zip(answers, wanted)):
        if answer.dtype != expected.dtype or answer.shape != expected.shape:
            result.problems.append(
                f"{name}: output {j} is {answer.dtype}{answer.shape}, "
                f"not {expected.dtype}{expected.shape}"
            )
            continue
        difference = np.abs(answer.astype(np.float64) - expected.astype(np.float64))
        count = Count(1, difference.size, int((difference != 0).sum()))
        count.largest_original = float(difference.max(initial=0))
        result.operators.setdefault(description["operator"], Count()).add(count)
    return description, result


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--zkonnx", metavar="BINARY", help="check the executor")
    arguments = parser.parse_args()
    total, violations, cases, compared = Comparison(), [], 0, 0
    for path in sorted(arguments.folder.glob("*/case.json")):
        description, result = check(path.parent, arguments.zkonnx)
        cases += 1
        compared += bool(result.operators)
        total.add(result)
        violations += [f"{description['name']}: {v}" for v in result.violations({})]
    print(f"{compared} of {cases} cases compared\n{total.table()}")
    for violation in violations:
        print(violation, file=sys.stderr)
    sys.exit(1 if violations or not cases else 0)


if __name__ == "__main__":
    main()
