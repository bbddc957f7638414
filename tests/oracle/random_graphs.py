"""Seeded graphs: one operator over all its values, or several operators at random."""

import zlib

import numpy as np

import vocabulary
from net import F32, Net

KINDS = {"u8": np.uint8, "s8": np.int8}
SHAPES = ([1, 6], [1, 3, 5], [1, 2, 4, 4], [1, 3, 3, 4], [1, 4, 2, 5])
# Every seventh graph has scales that are powers of two, where ties abound.
TIES_EVERY = 7


class _PowersOfTwo(Net):
    def scale(self, low=0.005, high=0.08):
        return F32(2.0 ** int(self.rng.integers(-7, -3)))


def _rng(name):
    return np.random.default_rng(zlib.crc32(name.encode()))


def random_graph(seed):
    """One to four operators on small tensors of either type."""
    name = f"random_{seed}"
    rng = _rng(name)
    kind = KINDS["u8" if rng.random() < 0.5 else "s8"]
    net = (_PowersOfTwo if seed % TIES_EVERY == 0 else Net)(name, rng, kind)
    net.input(net.choose(SHAPES))
    wanted = int(rng.integers(1, 5))
    while wanted:
        small = [t for t in net.pool if np.prod(t.shape) <= 64]
        x = small[-1] if rng.random() < 0.7 else net.choose(small)
        if net.choose(vocabulary.OPERATORS)(net, x):
            wanted -= 1
    graph = net.graph("random")
    graph.ties = seed % TIES_EVERY == 0
    return graph


def _exhaustive(net, op, attributes):
    """All 256 values of the type through one function."""
    x = net.input([1, 16, 16])
    values = np.arange(256) + np.iinfo(net.kind).min
    net._feeds[x.name] = values.reshape(1, 1, 16, 16).astype(net.kind)
    real = net.node(op, [net.real(x)], **attributes)
    net.quantize(real, x.shape, op, [x], net.scale(0.005, 0.03))


def operator_graphs(rounds):
    """Each function over all values of both types, and each other operator by itself."""
    for kind in KINDS:
        for index in range(rounds):
            for op, ranges in sorted(vocabulary.FUNCTIONS.items()):
                name = f"{op}_{kind}_{index}"
                net = Net(name, _rng(name), KINDS[kind], samples=1)
                drawn = {key: float(net.rng.uniform(*r)) for key, r in ranges.items()}
                _exhaustive(net, op, drawn)
                yield net.graph()
            for append in dict.fromkeys(vocabulary.OPERATORS + vocabulary.ALONE):
                if append is vocabulary.function:
                    continue
                for shape in SHAPES:
                    name = f"{append.__name__}_{kind}_{index}_{'x'.join(map(str, shape))}"
                    net = Net(name, _rng(name), KINDS[kind])
                    if append(net, net.input(shape)):
                        yield net.graph()
