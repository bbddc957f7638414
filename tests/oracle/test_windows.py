"""The declarations of operators say of opsets, attributes and inputs what the schemas of the `onnx` package say."""

import re
import unittest
from pathlib import Path

from onnx import defs

OPERATORS = Path(__file__).resolve().parents[2] / "onnx" / "src" / "ops"
OPSETS = range(10, 27)


def declarations():
    """For each standard operator its declaration, without spaces."""
    found = {}
    for path in sorted(OPERATORS.glob("*.rs")):
        text = re.sub(r"\s+", "", path.read_text())
        for part in re.split(r"(?=Operator::(?:onnx|microsoft|learning)\()", text):
            match = re.match(r'Operator::onnx\("(\w+)"\)', part)
            if match:
                found[match.group(1)] = part.split("];pub", 1)[0].split("];fn", 1)[0]
    return found


DECLARED = declarations()


def imported():
    """Standard operators that are proved."""
    ways = (".integers(", ".closing(", ".deciding(")
    return sorted(name for name, text in DECLARED.items() if any(way in text for way in ways))


def listed(text, method):
    match = re.search(r"\." + method + r"\(&\[(.*?)\]\)", text)
    return re.findall(r"\(([^()]*)\)", match.group(1)) if match else []


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
        known = {}
        for operator, text in DECLARED.items():
            for row in listed(text, "attributes"):
                name, lo, hi = row.split(",")
                known[operator, name.strip('"')] = (int(lo), OPSETS[-1] if hi == "LAST" else int(hi))
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
        known = {}
        for operator, text in DECLARED.items():
            since = re.search(r"\.since\((\d+)\)", text)
            if since:
                known[operator] = int(since.group(1))
        expected = {}
        for schema in defs.get_all_schemas_with_history():
            if schema.domain == "":
                first = expected.get(schema.name, schema.since_version)
                expected[schema.name] = min(first, schema.since_version)
        expected = {op: first for op, first in expected.items() if 6 < first <= OPSETS[-1]}
        self.assertGreater(len(expected), 90)
        self.assertEqual(known, expected)

    def test_inputs(self):
        known = set()
        for operator, text in DECLARED.items():
            for row in listed(text, "inputs"):
                first, most = row.split(",")
                known.add((operator, int(first), int(most)))
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
