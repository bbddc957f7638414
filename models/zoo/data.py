"""The data sets, all bundled with scikit-learn, each split once with a fixed seed."""

from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split

SPLIT_SEED = 0
TEST_FRACTION = 0.25


@dataclass(frozen=True)
class Split:
    """Samples `[n, ...]` as float32 and labels `[n]` as int64."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


def _split(samples, labels):
    train_x, test_x, train_y, test_y = train_test_split(
        samples.astype(np.float32),
        labels.astype(np.int64),
        test_size=TEST_FRACTION,
        random_state=SPLIT_SEED,
        stratify=labels,
    )
    return Split(train_x, train_y, test_x, test_y)


def digits(sample_shape):
    """8×8 grey digits. A pixel is k/16 with k in 0..=16, exact in binary and in JSON."""
    bundle = load_digits()
    return _split((bundle.data / 16).reshape(-1, *sample_shape), bundle.target)


def cancer():
    """30 measurements per sample, standardized with the training half's statistics."""
    bundle = load_breast_cancer()
    split = _split(bundle.data, bundle.target)
    mean = split.train_x.mean(axis=0, dtype=np.float64)
    deviation = split.train_x.std(axis=0, dtype=np.float64)

    def standardize(samples):
        return ((samples - mean) / deviation).astype(np.float32)

    return Split(standardize(split.train_x), split.train_y, standardize(split.test_x), split.test_y)
