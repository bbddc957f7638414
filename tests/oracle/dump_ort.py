#!/usr/bin/env python3
"""Runs ONNX Runtime on every sample and writes every quantized tensor.

    dump_ort.py MODEL.onnx SAMPLES.npz OUT.npz

OUT.npz holds one array `[samples, ...]` for each tensor, under its ONNX name.
"""

import argparse
import sys

import numpy as np
import onnx

import ort_session


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("samples")
    parser.add_argument("out")
    parser.add_argument("--limit", type=int, help="use the first LIMIT samples only")
    arguments = parser.parse_args()
    model = onnx.load(arguments.model)
    samples = ort_session.load_samples(arguments.samples, model)
    tensors, in_float = ort_session.run_samples(model, samples, arguments.limit)
    np.savez(arguments.out, **tensors)
    print(f"{len(tensors)} tensors, {sum(t.size for t in tensors.values())} elements")
    if in_float:
        print(f"computed in float by ONNX Runtime: {', '.join(in_float)}", file=sys.stderr)


if __name__ == "__main__":
    main()
