#!/usr/bin/env python3
"""Compares two dumps of one model's quantized tensors.

    compare.py MODEL.onnx EXPECTED.npz ACTUAL.npz [--json OUT.json]

EXPECTED.npz is what `dump_ort.py` writes and ACTUAL.npz what
`zkonnx run MODEL --input SAMPLES.npz --dump-tensors ACTUAL.npz` writes. Exits 1 if
a difference is not covered by `allowances.json`.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import onnx

import comparison


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("expected")
    parser.add_argument("actual")
    parser.add_argument("--json", type=Path, help="write the counts here as well")
    arguments = parser.parse_args()
    with np.load(arguments.expected) as expected, np.load(arguments.actual) as actual:
        result = comparison.compare(onnx.load(arguments.model), dict(expected), dict(actual))
    print(result.table())
    if arguments.json:
        arguments.json.write_text(json.dumps(result.as_json(), indent=1) + "\n")
    violations = result.violations(comparison.load_allowances())
    for violation in violations:
        print(violation, file=sys.stderr)
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
