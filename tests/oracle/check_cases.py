#!/usr/bin/env python3
"""Compares the numpy reference with the cases that `gen_cases.py` wrote.

    check_cases.py FOLDER

Prints a table over the operators; exits 1 if any element differs.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import onnx

import reference
from comparison import Comparison, Count


def check(folder):
    """`(description, Comparison)` of one case."""
    description = json.loads((folder / "case.json").read_text())
    model = onnx.load(folder / "model.onnx")
    feeds = {
        tensor["name"]: np.load(folder / f"input_{i}.npy")
        for i, tensor in enumerate(description["inputs"])
    }
    result = Comparison()
    name = description["name"]
    try:
        answers = reference.evaluate_outputs(model, feeds)
    except reference.UnsupportedError as error:
        result.problems.append(f"{name}: {error}")
        return description, result
    for j, answer in enumerate(answers):
        expected = np.load(folder / f"output_{j}.npy")
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
    arguments = parser.parse_args()
    total, violations, cases = Comparison(), [], 0
    for path in sorted(arguments.folder.glob("*/case.json")):
        description, result = check(path.parent)
        cases += 1
        total.add(result)
        violations += [f"{description['name']}: {v}" for v in result.violations({})]
    print(f"{cases} cases\n{total.table()}")
    for violation in violations:
        print(violation, file=sys.stderr)
    sys.exit(1 if violations or not cases else 0)


if __name__ == "__main__":
    main()
