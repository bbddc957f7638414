"""The importer's table of attributes and inputs by opset says what the schemas of the `onnx` package say."""

import re
import unittest
from pathlib import Path

from onnx import defs

SOURCES = Path(__file__).resolve().parents[2] / "onnx" / "src"
OPSETS = range(10, 27)


def imported():
    """Standard operators that the importer knows."""
    text = (SOURCES / "registry.rs").read_text()
    return sorted(set(re.findall(r'onnx\(\s*"(\w+)"', text)))


def schemas(operator):
    found = {}
    for opset in OPSETS:
        try:
            found[opset] = defs.get_schema(operator, opset, "")
        except defs.SchemaError:
            pass
    return found


class Windows(unittest.TestCase):
    def test_attributes(self):
        text = (SOURCES / "windows.rs").read_text()
        rows = re.findall(r'\("(\w+)", "(\w+)", (\d+), (\d+|LAST)\)', text)
        known = {
            (op, name): (int(lo), OPSETS[-1] if hi == "LAST" else int(hi))
            for op, name, lo, hi in rows
        }
        expected = {}
        for operator in imported():
            by_opset = schemas(operator)
            for name in {a for schema in by_opset.values() for a in schema.attributes}:
                having = [o for o, schema in by_opset.items() if name in schema.attributes]
                # Text has no integers, and is refused wherever it is met.
                if having != list(by_opset) and not name.startswith("value_string"):
                    expected[operator, name] = (having[0], having[-1])
        self.assertGreater(len(expected), 40)
        self.assertEqual(known, expected)

    def test_first_opsets(self):
        text = (SOURCES / "windows.rs").read_text()
        table = text.split("const FIRST", 1)[1].split("];", 1)[0]
        known = {op: int(first) for op, first in re.findall(r'\("(\w+)", (\d+)\)', table)}
        expected = {}
        for schema in defs.get_all_schemas_with_history():
            if schema.domain == "":
                first = expected.get(schema.name, schema.since_version)
                expected[schema.name] = min(first, schema.since_version)
        expected = {op: first for op, first in expected.items() if 6 < first <= OPSETS[-1]}
        self.assertGreater(len(expected), 90)
        self.assertEqual(known, expected)

    def test_inputs(self):
        text = (SOURCES / "windows.rs").read_text()
        rows = re.findall(r'\("(\w+)", (\d+), (\d+)\)', text)
        known = {(op, int(first), int(most)) for op, first, most in rows}
        expected = set()
        for operator in imported():
            counts = {o: schema.max_input for o, schema in schemas(operator).items()}
            opsets = list(counts)
            for before, after in zip(opsets, opsets[1:]):
                if counts[before] < counts[after]:
                    expected.add((operator, after, counts[before]))
        self.assertGreater(len(expected), 10)
        self.assertEqual(known, expected)


if __name__ == "__main__":
    unittest.main()
