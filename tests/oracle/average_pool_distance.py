#!/usr/bin/env python3
"""Measures how far average pooling by an integer sum is from ONNX Runtime's.

    average_pool_distance.py

QLinearAveragePool sums dequantized float32 values, so its answer depends on the
values and their order; a circuit wants a function of the integer sum. Candidates:

- chain: round(f32(f32(f32(sum * x scale) / n) / y scale) + zero point), the float
  steps of ONNX Runtime applied to the exact sum;
- factor: round(f32(sum * f32(x scale / f32(y scale * n)))) + zero point, the rule of
  QLinearGlobalAveragePool, which adds the zero point to the rounded value;
- floor: no rule, but the least that any function of the sum can reach on these data.

Prints differing elements in ppm over random pools, for equal and unequal scales.
"""

import numpy as np

import kernels
from arithmetic import F32, requantize, saturate

POOLS = 60
WINDOWS = 20_000


def chain(total, count, x_scale, y_scale, y_zero):
    mean = ((total.astype(F32) * x_scale).astype(F32) / F32(count)).astype(F32)
    shifted = ((mean / y_scale).astype(F32) + F32(int(y_zero))).astype(F32)
    return saturate(np.rint(shifted), y_zero.dtype)


def factor(total, count, x_scale, y_scale, y_zero):
    return requantize(total, F32(x_scale / F32(y_scale * F32(count))), y_zero)


def least(total, answers):
    """How many of `answers` differ from the most frequent answer for their sum."""
    pairs, counts = np.unique(np.stack([total, answers]), axis=1, return_counts=True)
    best = {}
    for value, count in zip(pairs[0], counts):
        best[value] = max(best.get(value, 0), int(count))
    return len(answers) - sum(best.values())


def measure(rng, size, equal):
    """`{candidate: ppm}` over pools of `size` × `size`."""
    differing = {"chain": 0, "factor": 0, "floor": 0}
    for _ in range(POOLS):
        x_scale = F32(np.exp(rng.uniform(np.log(0.002), np.log(0.05))))
        x_zero = np.uint8(rng.integers(0, 256))
        y_scale = x_scale if equal else F32(x_scale * rng.uniform(0.6, 1))
        y_zero = x_zero if equal else np.uint8(rng.integers(0, 256))
        x = rng.integers(0, 256, (WINDOWS, 1, size, size)).astype(np.uint8)
        attributes = {"kernel_shape": [size, size]}
        answers = kernels.qlinear_average_pool(x, x_scale, x_zero, y_scale, y_zero, attributes)
        answers = answers.reshape(-1)
        total = (x.astype(np.int64) - int(x_zero)).sum(axis=(1, 2, 3))
        for name, rule in (("chain", chain), ("factor", factor)):
            mine = rule(total, size * size, x_scale, y_scale, y_zero)
            differing[name] += int((mine != answers).sum())
        differing["floor"] += least(total, answers.astype(np.int64))
    return {name: 1e6 * count / (POOLS * WINDOWS) for name, count in differing.items()}


def main():
    rng = np.random.default_rng(0)
    print(f"{'window':8}{'scales':10}{'chain':>10}{'factor':>10}{'floor':>10}   ppm")
    for equal in (True, False):
        for size in (2, 3, 4):
            result = measure(rng, size, equal)
            scales = "equal" if equal else "unequal"
            numbers = "".join(f"{value:10.0f}" for value in result.values())
            print(f"{size}×{size}     {scales:10}{numbers}")


if __name__ == "__main__":
    main()
