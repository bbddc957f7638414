"""Tests of the fuzzer: its graphs are reproducible and of all operators, and it sees what is wrong."""

import contextlib
import io
import unittest
from unittest import mock

import numpy as np
import onnx
from onnx import helper

import fuzz_judge
import fuzz_report
import fuzz_twins
from fuzz_graphs import fuzzed
from fuzz_minimise import minimise, responsible

SEEDS = range(1, 601)


class Generating(unittest.TestCase):
    def test_is_reproducible(self):
        for seed in (1, 2, 77):
            first, second = fuzzed(seed), fuzzed(seed)
            self.assertEqual(first.model.SerializeToString(deterministic=True), second.model.SerializeToString(deterministic=True))
            for name, array in first.feeds.items():
                np.testing.assert_array_equal(array, second.feeds[name])

    def test_draws_all_that_folding_and_groups_are_about(self):
        operators, types, opsets, numbers = set(), set(), set(), []
        for seed in SEEDS:
            model = fuzzed(seed).model
            opsets.add(model.opset_import[0].version)
            operators.update(n.op_type for n in model.graph.node)
            for tensor in model.graph.initializer:
                array = onnx.numpy_helper.to_array(tensor)
                types.add(array.dtype.name)
                if array.dtype == np.float32:
                    numbers.append(array.ravel())
        numbers = np.concatenate(numbers)
        for op in ("Cast", "Pow", "Mod", "Where", "Clip", "Max", "Sign", "Range", "ConstantOfShape", "Resize", "ConvTranspose",
                   "Gemm", "AveragePool", "QLinearMul", "Pad", "ReduceMax", "Gather", "BatchNormalization"):  # fmt: skip
            self.assertIn(op, operators)
        self.assertLessEqual({"bool", "int8", "uint8", "int32", "int64", "float64", "float32"}, types)
        self.assertLessEqual(set(range(10, 23)), opsets)
        self.assertTrue(np.isnan(numbers).any() and np.isinf(numbers).any())
        self.assertTrue((np.signbit(numbers) & (numbers == 0)).any())
        self.assertTrue(((numbers != 0) & (np.abs(numbers) < np.finfo(np.float32).tiny)).any())


class Judging(unittest.TestCase):
    def differences(self, want, output, kind="outputs"):
        verdict = fuzz_judge.Verdict("equal")
        result = {"outputs": [], "float_outputs": [], kind: [output] if output else []}
        fuzz_judge._compare_output(verdict, "y", [np.asarray(want)], [result], kind == "outputs")
        return [(d.kind, d.differing, d.largest) for d in verdict.differences]

    def test_sees_integers_that_differ(self):
        output = {"name": "y", "shape": [3], "values": [1, 2, 250]}
        self.assertEqual(self.differences(np.uint8([1, 2, 250]), output), [])
        self.assertEqual(self.differences(np.uint8([1, 3, 255]), output), [("values", 2, 5)])

    def test_sees_missing_outputs_and_shapes(self):
        self.assertEqual(self.differences(np.uint8([1]), None), [("missing", 0, 0)])
        self.assertEqual(self.differences(np.uint8([1]), {"name": "y", "shape": [2], "values": [1, 1]}), [("shape", 0, 0)])

    def test_compares_proved_reals_to_the_last_bit(self):
        one, next_ = 1.0, float(np.nextafter(np.float32(1), np.float32(2)))
        output = {"name": "y", "shape": [1], "values": [3], "real": [next_]}
        self.assertEqual(self.differences(np.float32([one]), output), [("values", 1, 1)])
        tail = {"name": "y", "shape": [1], "values": [next_]}
        self.assertEqual(self.differences(np.float32([one]), tail, "float_outputs"), [])
        self.assertEqual(self.differences(np.float32([one + 1e-4]), tail, "float_outputs")[0][:2], ("values", 1))

    def test_sees_what_is_no_number(self):
        tail = {"name": "y", "shape": [2], "values": [0.0, None]}
        self.assertEqual(self.differences(np.float32([np.nan, np.nan]), tail, "float_outputs"), [("values", 1, np.inf)])
        self.assertEqual(self.differences(np.float32([0.0, 1.0]), tail, "float_outputs"), [("values", 1, np.inf)])

    def test_sees_outputs_in_another_order(self):
        verdict = fuzz_judge.Verdict("equal")
        proved = [{"name": "b"}, {"name": "inner"}, {"name": "a"}]
        fuzz_judge._compare_order(verdict, ["b", "x", "a"], proved)
        self.assertEqual(verdict.differences, [])
        fuzz_judge._compare_order(verdict, ["a", "x", "b"], proved)
        self.assertEqual([d.kind for d in verdict.differences], ["order"])

    def test_reads_what_a_refusal_names(self):
        message = "/tmp/x/model.onnx: 1 node cannot be imported: node `n1` (ai.onnx.Clip, opset 14): input 1 (the limit): no"
        self.assertEqual(fuzz_judge.refusal(message), ("Clip", "input … (the limit): no"))


class Minimising(unittest.TestCase):
    def test_keeps_the_operator_that_is_responsible(self):
        info = helper.make_tensor_value_info
        nodes = [
            helper.make_node("Neg", ["x"], ["a"], "1"),
            helper.make_node("Relu", ["a"], ["b"], "2"),
            helper.make_node("Abs", ["b"], ["y"], "3"),
            helper.make_node("Neg", ["x"], ["z"], "4"),
        ]
        outputs = [info("y", 1, [2]), info("z", 1, [2])]
        graph = helper.make_graph(nodes, "g", [info("x", 1, [2])], outputs)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        feeds = {"x": np.float32([[1, 2], [3, 4], [5, 6]])}
        left, less = minimise(model, feeds, lambda m, f: any(n.op_type == "Relu" for n in m.graph.node))
        self.assertEqual(responsible(left).split("+"), ["Abs", "Relu"])
        self.assertEqual(less["x"].shape, (1, 2))


class Reporting(unittest.TestCase):
    def finish(self, records, allowances=(), functions=None):
        report = fuzz_report.Report(lambda seed, change: (functions or {}).get((seed, change)))
        for record in records:
            report.add(record)
        said = io.StringIO()
        with mock.patch.object(fuzz_report, "allowances", lambda: list(allowances)), contextlib.redirect_stdout(said):
            return report.finish(1), said.getvalue()

    def record(self, largest, **more):
        difference = {"output": "y", "kind": "values", "elements": 3, "differing": 1, "largest": largest, "example": ""}
        return {"seed": 1, "parts": ["chain"], "status": "different", "responsible": "Floor+Tanh", "differences": [difference], **more}

    def test_fails_for_differences_that_nothing_explains(self):
        allowance = {"operators": ["Tanh"], "largest": 2, "section": "Elementwise functions of one tensor", "reason": "…"}
        self.assertTrue(self.finish([{"seed": 1, "parts": [], "status": "equal"}])[0])
        self.assertFalse(self.finish([self.record(1)])[0])
        self.assertTrue(self.finish([self.record(1)], [allowance])[0])
        self.assertFalse(self.finish([self.record(3)], [allowance])[0])
        self.assertFalse(self.finish([{"seed": 1, "parts": [], "status": "failed"}])[0])

    def test_fails_for_an_allowance_that_nothing_needs(self):
        allowance = {"operators": ["Tanh"], "largest": 2, "section": "…", "reason": "…"}
        equal = [{"seed": s, "parts": [], "status": "equal"} for s in range(fuzz_report.ENOUGH)]
        self.assertFalse(self.finish(equal, [allowance])[0])
        self.assertTrue(self.finish(equal[1:], [allowance])[0])

    def test_fails_for_one_id_of_two_functions(self):
        one = {"seed": 1, "parts": [], "status": "equal", "program_id": "aa"}
        two = {**one, "seed": 2}
        self.assertTrue(self.finish([one, two], functions={(1, None): "f", (2, None): "f"})[0])
        self.assertTrue(self.finish([one, two], functions={(1, None): "f"})[0])
        good, said = self.finish([one, two], functions={(1, None): "f", (2, None): "g"})
        self.assertFalse(good)
        self.assertIn("ONE ID", said)
        twin = {**one, "twin": {"change": "renamed", "id": "aa"}}
        self.assertFalse(self.finish([twin], functions={(1, None): "f", (1, "renamed"): "g"})[0])

    def test_allowances_name_a_section_that_exists(self):
        text = (fuzz_report.ALLOWANCES.parents[2] / "SEMANTICS.md").read_text()
        for allowance in fuzz_report.allowances():
            self.assertEqual(set(allowance) - {"label"}, {"operators", "largest", "section", "reason"})
            self.assertRegex(text, f"(?m)^#+ {allowance['section']}$")


class Twins(unittest.TestCase):
    def test_functions_depend_on_names_and_constants(self):
        graph = next(g for g in map(fuzzed, SEEDS) if g.parts == ["mixed"] and len(g.model.graph.input) > 1)
        digest = fuzz_twins.function(graph.model, fuzz_judge.oracle)
        self.assertEqual(digest, fuzz_twins.function(graph.model, fuzz_judge.oracle))
        renamed = fuzz_twins._one_renamed(np.random.default_rng(1), graph.model)
        self.assertNotEqual(digest, fuzz_twins.function(renamed, fuzz_judge.oracle))


if __name__ == "__main__":
    unittest.main()
