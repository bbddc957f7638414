"""Tests of the comparison itself: a wrong dump must not pass."""

import unittest

import numpy as np
import onnx

import comparison
import ort_session
from compare_models import MODELS

PATH = MODELS / "digits_res" / "qdq_u8s8_per_tensor.onnx"
ALLOWED = {"AveragePool": {"max_ppm": 1000, "max_difference": 1, "reason": "test"}}


class Comparing(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = onnx.load(PATH)
        samples = ort_session.load_samples(PATH.parent / "samples.npz", cls.model)
        cls.expected, _ = ort_session.run_samples(cls.model, samples, limit=20)
        cls.operators = ort_session.quantized_tensors(cls.model)

    def tensor(self, operator):
        return next(name for name, found in self.operators.items() if found == operator)

    def changed(self, *changes):
        """The expected dump with `(operator, sample, new value minus old)` applied."""
        actual = {name: array.copy() for name, array in self.expected.items()}
        for operator, sample, step in changes:
            flat = actual[self.tensor(operator)][sample].reshape(-1)
            position = int(np.argmin(np.abs(flat.astype(int) - 100)))
            flat[position] += step
        return actual

    def violations(self, actual, allowances=ALLOWED):
        return comparison.compare(self.model, self.expected, actual).violations(allowances)

    def test_accepts_equal(self):
        self.assertEqual(self.violations(self.changed(), {}), [])

    def test_accepts_missing_batch_axis(self):
        actual = {name: array[:, 0] for name, array in self.expected.items()}
        self.assertEqual(self.violations(actual, {}), [])

    def test_rejects_one_element(self):
        (sentence, _) = self.violations(self.changed(("Gemm", 3, 1)))
        self.assertIn("Gemm: 1 of", sentence)

    def test_rejects_missing_tensor(self):
        actual = self.changed()
        del actual[self.tensor("Gemm")]
        self.assertIn("missing", self.violations(actual)[0])

    def test_rejects_other_type(self):
        name = self.tensor("Gemm")
        actual = {**self.expected, name: self.expected[name].astype(np.int32)}
        self.assertIn("is int32", self.violations(actual)[0])

    def test_rejects_missing_sample(self):
        name = self.tensor("Gemm")
        actual = {**self.expected, name: self.expected[name][1:]}
        self.assertIn("has shape", self.violations(actual)[0])

    def test_accepts_what_is_allowed_and_what_follows_from_it(self):
        actual = self.changed(("AveragePool", 3, 1), ("Gemm", 3, 9))
        self.assertEqual(self.violations(actual), [])

    def test_rejects_what_does_not_follow_from_it(self):
        actual = self.changed(("AveragePool", 3, 1), ("Gemm", 4, 1))
        self.assertIn("Gemm", self.violations(actual)[0])

    def test_rejects_more_than_allowed(self):
        actual = self.changed(("AveragePool", 3, 2))
        self.assertIn("largest difference 2", self.violations(actual)[0])
        many = self.changed(*(("AveragePool", sample, 1) for sample in range(20)))
        self.assertIn("ppm", self.violations(many)[0])


if __name__ == "__main__":
    unittest.main()
