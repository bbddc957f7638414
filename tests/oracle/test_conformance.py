"""Tests of the conformance runner: it sees what is wrong, and its graphs are reproducible."""

import contextlib
import io
import re
import unittest
from pathlib import Path

import numpy as np

import conformance
import graphs
from random_graphs import operator_graphs, random_graph


class Judging(unittest.TestCase):
    def verdict(self, expected, computed, parents=()):
        tensors = [graphs.Tensor("a", "First", []), graphs.Tensor("b", "Second", list(parents))]
        verdict = graphs.Verdict()
        graphs._compare(tensors, expected, computed, verdict)
        return verdict

    def test_sees_a_difference_and_who_made_it(self):
        zeros = np.zeros((2, 3), np.uint8)
        wrong = zeros.copy()
        wrong[1, 2] = 5
        verdict = self.verdict({"a": zeros, "b": zeros}, {"a": wrong, "b": wrong}, ["a"])
        # The second sample of b inherits, so only the first is compared.
        self.assertEqual(verdict.counts, [("First", 6, 1, 5), ("Second", 3, 0, 0)])
        verdict = self.verdict({"a": zeros, "b": zeros}, {"a": wrong, "b": wrong})
        self.assertEqual(verdict.counts[1], ("Second", 6, 1, 5))

    def test_sees_missing_tensors_and_other_shapes(self):
        zeros = np.zeros((2, 3), np.uint8)
        verdict = self.verdict({"a": zeros, "b": zeros}, {"a": zeros[:, :2]})
        self.assertEqual(len(verdict.problems), 2)

    def test_fails_a_graph_for_each_cause(self):
        graph = graphs.Graph("g", "Op", None, {}, tolerance=1)
        self.assertIsNone(conformance.failure(graph, graphs.Verdict(counts=[("Op", 9, 2, 1)])))
        for verdict in (
            graphs.Verdict(counts=[("Op", 9, 2, 2)]),
            graphs.Verdict(refused="no"),
            graphs.Verdict(no_oracle="no"),
            graphs.Verdict(problems=["no"]),
            graphs.Verdict(satisfied=False),
        ):
            self.assertIsNotNone(conformance.failure(graph, verdict))


class Covering(unittest.TestCase):
    def test_graphs_have_every_operator_that_is_documented(self):
        text = (Path(__file__).parents[2] / "docs" / "OPERATORS.md").read_text()
        # Tree ensembles have forms of their own (tree_forms.py).
        standard, _, rest = text.partition("## ai.onnx.ml")
        _, _, microsoft = rest.partition("## com.microsoft")
        documented = set()
        for domain, part in (("", standard), ("com.microsoft", microsoft)):
            names = re.findall(r"^\| (\w+) \| \d", part, re.MULTILINE)
            documented |= {(domain, name) for name in names}
        made = set()
        for graph in (*operator_graphs(1), *(random_graph(seed) for seed in range(300))):
            made |= {(node.domain, node.op_type) for node in graph.model.graph.node}
        self.assertEqual(sorted(documented - made), [])


class Tallying(unittest.TestCase):
    def tally(self, verdict, ties=False):
        tally = conformance.Tally()
        tally.add(graphs.Graph("g", "Unlisted", None, {}, ties=ties), verdict)
        with contextlib.redirect_stdout(None), contextlib.redirect_stderr(io.StringIO()):
            return tally.finish("test")

    def test_rejects_differences_that_no_allowance_covers(self):
        self.assertTrue(self.tally(graphs.Verdict(counts=[("Unlisted", 9, 0, 0)])))
        self.assertFalse(self.tally(graphs.Verdict(counts=[("Unlisted", 9, 1, 1)])))

    def test_rejects_a_circuit_that_refuses_the_execution(self):
        self.assertFalse(self.tally(graphs.Verdict(satisfied=False)))


class Generating(unittest.TestCase):
    def test_is_reproducible(self):
        for seed in (1, 7, 12):
            first, second = random_graph(seed), random_graph(seed)
            self.assertEqual(first.model, second.model)
            for name, array in first.inputs.items():
                np.testing.assert_array_equal(array, second.inputs[name])

    def test_covers_the_vocabulary(self):
        self.assertGreater(len({graph.operator for graph in operator_graphs(1)}), 50)


class SkipList(unittest.TestCase):
    def test_has_a_reason_on_each_line(self):
        for pattern, _, reason in conformance.skips():
            self.assertTrue(pattern and reason)


if __name__ == "__main__":
    unittest.main()
