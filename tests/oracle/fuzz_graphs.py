"""A seed's graph: one to three parts that end in something computed, over shared activations, in any opset."""

import zlib
from dataclasses import dataclass

import numpy as np
import onnx

from fuzz_build import Build, Unfit
from fuzz_groups import GROUPS
from fuzz_sinks import SINKS

OPSETS = (10, 11, 12, 13, 13, 14, 15, 16, 17, 17, 18, 19, 20, 21, 22)
PARTS = SINKS + GROUPS


@dataclass
class Fuzzed:
    """A model with its samples `{input: [n, ...]}`, and the parts it was drawn from."""

    seed: int
    model: onnx.ModelProto
    feeds: dict
    parts: list


def fuzzed(seed):
    """The graph of a seed: the same on every machine."""
    rng = np.random.default_rng(zlib.crc32(f"fuzz_{seed}".encode()))
    weights = np.array([w for _, w in PARTS])
    for _ in range(64):
        b = Build(rng, int(rng.choice(OPSETS)))
        parts = []
        wanted = int(rng.choice((1, 1, 1, 2, 2, 3)))
        while len(parts) < wanted:
            part = PARTS[int(rng.choice(len(PARTS), p=weights / weights.sum()))][0]
            marks = [(kept, len(kept)) for kept in (b.nodes, b.constants, b.inputs, b.outputs, b.activations)]
            known = set(b.feeds)
            try:
                part(b)
            except Unfit:
                for kept, length in marks:
                    del kept[length:]
                b.feeds = {name: feed for name, feed in b.feeds.items() if name in known}
                continue
            parts.append(part.__name__)
        if b.inputs and b.outputs:
            _reorder(b)
            return Fuzzed(seed, b.model(f"fuzz_{seed}"), b.feeds, parts)
    raise RuntimeError(f"no graph for seed {seed}")


def _reorder(b):
    """Inputs and outputs in any order."""
    if b.chance(0.3):
        b.inputs = [b.inputs[int(i)] for i in b.rng.permutation(len(b.inputs))]
    if b.chance(0.3):
        b.outputs = [b.outputs[int(i)] for i in b.rng.permutation(len(b.outputs))]
