"""Numbers where arithmetic differs between implementations: ends, ties, zeros of both signs, what is no number."""

import numpy as np

F32, F64 = np.float32, np.float64
FLOATS = (F32, F64)
INTEGERS = (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.int64, np.uint32)
BOOL = np.bool_

SPECIAL = np.array(
    [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, 1e-40, -3e-39, 1.17549435e-38, 1e-30, -1e-20,
     1e-7, 3.4028235e38, -3.4028235e38, 1e30, -1e20, 16777216.0, 16777218.0, 2147483648.0, -2147483648.0,
     4294967296.0, 9.2233720368547758e18, -9.2233720368547758e18, 127.0, 128.0, 255.0, 256.0, -129.0,
     32768.0, 65536.0]
)  # fmt: skip
# What binary32 does not hold.
DOUBLES = np.array(
    [0.1, 1 / 3, 16777217.0, 2.0**53 + 2, 1 + 2.0**-40, 0.5 + 2.0**-30, 1e300, -1e300, 1e-300, 1e39,
     2147483647.0, 1e-46, 4.9e-324, 0.5 - 2.0**-40, 2.5 + 2.0**-35]
)  # fmt: skip
PLAIN = np.array([0.0, -0.0, 1, -1, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 2, 3, -3, 0.25, 0.7, -0.7, 6, 9.99, 10])


def floats(rng, shape, dtype=F32, wild=None):
    """Floats of the type: small ones, or with a share `wild` of values at the ends."""
    wild = float(rng.choice([0, 0.1, 0.5])) if wild is None else wild
    count = int(np.prod(shape, dtype=np.int64))
    values = np.where(rng.random(count) < 0.5, rng.choice(PLAIN, count), rng.uniform(-4, 4, count))
    special = np.concatenate([SPECIAL, DOUBLES]) if dtype == F64 else SPECIAL
    values = np.where(rng.random(count) < wild, rng.choice(special, count), values)
    if dtype == F64:
        values = np.where(rng.random(count) < 0.3, rng.choice(DOUBLES[:6], count), values)
    with np.errstate(all="ignore"):
        return values.reshape(shape).astype(dtype)


def integers(rng, shape, dtype, wild=0.2):
    """Integers of the type: small ones, and a share `wild` at its ends."""
    info = np.iinfo(dtype)
    count = int(np.prod(shape, dtype=np.int64))
    low = 0 if info.min == 0 else -5
    values = rng.integers(low, 8, count).astype(object)
    ends = [int(info.min), int(info.max), int(info.max) - 1, int(info.max) // 2]
    at_end = rng.random(count) < wild
    picks = rng.integers(0, len(ends), count)
    values = [ends[p] if e else int(v) for v, e, p in zip(values, at_end, picks)]
    return np.array(values, dtype).reshape(shape)


def booleans(rng, shape):
    return np.asarray(rng.random(shape) < 0.5)


def values(rng, shape, dtype):
    if dtype in FLOATS:
        return floats(rng, shape, dtype)
    if dtype == BOOL:
        return booleans(rng, shape)
    return integers(rng, shape, dtype)


def divisors(rng, shape, dtype):
    """Integers that divide without a trap: neither zero nor minus one."""
    made = integers(rng, shape, dtype, wild=0.1)
    return np.where((made == 0) | (made.astype(np.int64) == -1), dtype(3), made).astype(dtype)


def scale(rng):
    """A positive normal scale: often usual, sometimes a power of two or far out."""
    kind = rng.random()
    if kind < 0.25:
        return F32(2.0 ** int(rng.integers(-8, 3)))
    if kind < 0.32:
        return F32(rng.choice([1e-7, 1e-12, 1e-30, 1.2e-38, 1e5, 1e20, 3e37, 1e-4]))
    if kind < 0.4:
        return F32(rng.choice([1.0, 1 / 255, 1 / 127, 1 / 256, 0.1]))
    return F32(np.exp(rng.uniform(np.log(0.004), np.log(0.3))))


def zero(rng, dtype):
    """A zero point: the ends, the middle, or anywhere."""
    info = np.iinfo(dtype)
    kind = rng.random()
    if kind < 0.2:
        return dtype(info.min)
    if kind < 0.35:
        return dtype(info.max)
    if kind < 0.6:
        return dtype((int(info.min) + int(info.max) + 1) // 2)
    return dtype(rng.integers(info.min, int(info.max) + 1))
