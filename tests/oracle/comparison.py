"""Counting where two executions of one model differ, and where a difference begins.

A difference spreads: one pixel of a pool changes every tensor after it. So an
element that differs counts as *inherited* if, in the same sample, a tensor that it
depends on differs already, and as *original* if not. Allowances bound the original
ones; a sample without an original difference has no difference at all.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import ort_session

ALLOWANCES = Path(__file__).with_name("allowances.json")


@dataclass
class Count:
    """Totals for one operator; differences are in units of the last place."""

    tensors: int = 0
    elements: int = 0
    original: int = 0
    inherited: int = 0
    largest_original: int = 0

    def add(self, other):
        self.tensors += other.tensors
        self.elements += other.elements
        self.original += other.original
        self.inherited += other.inherited
        self.largest_original = max(self.largest_original, other.largest_original)

    @property
    def ppm(self):
        return 1e6 * self.original / self.elements if self.elements else 0.0


@dataclass
class Comparison:
    """`operators` maps an operator to its count; `problems` are malformed or absent tensors."""

    operators: dict = field(default_factory=dict)
    problems: list = field(default_factory=list)

    def add(self, other):
        for operator, count in other.operators.items():
            self.operators.setdefault(operator, Count()).add(count)
        self.problems += other.problems

    def violations(self, allowances):
        """Sentences for everything that no allowance covers."""
        found = list(self.problems)
        for operator, count in self.operators.items():
            allowed = allowances.get(operator, {"max_ppm": 0, "max_difference": 0})
            if count.ppm > allowed["max_ppm"]:
                found.append(
                    f"{operator}: {count.original} of {count.elements} elements differ "
                    f"({count.ppm:.1f} ppm, {allowed['max_ppm']} allowed)"
                )
            if count.largest_original > allowed["max_difference"]:
                found.append(
                    f"{operator}: largest difference {count.largest_original}, "
                    f"{allowed['max_difference']} allowed"
                )
        return found

    def table(self):
        rows = [f"{'operator':26}{'tensors':>8}{'elements':>12}{'differ':>9}{'ppm':>10}"
                f"{'largest':>9}{'inherited':>11}"]  # fmt: skip
        for operator, c in sorted(self.operators.items()):
            rows.append(
                f"{operator:26}{c.tensors:>8}{c.elements:>12}{c.original:>9}{c.ppm:>10.1f}"
                f"{c.largest_original:>9}{c.inherited:>11}"
            )
        return "\n".join(rows)

    def as_json(self):
        return {
            "operators": {
                operator: {**vars(count), "ppm": round(count.ppm, 3)}
                for operator, count in sorted(self.operators.items())
            },
            "problems": self.problems,
        }


def load_allowances(path=ALLOWANCES):
    """`{operator: {"max_ppm", "max_difference", "reason"}}`."""
    allowances = json.loads(Path(path).read_text())
    for operator, allowed in allowances.items():
        if set(allowed) != {"max_ppm", "max_difference", "reason"}:
            raise ValueError(f"{path}: {operator} needs max_ppm, max_difference and reason")
    return allowances


def _ancestors(model, tensors):
    """For each of `tensors`, those of `tensors` that it is computed from."""
    above = {}
    for node in model.graph.node:
        reached = set()
        for name in node.input:
            reached |= above.get(name, set())
            if name in tensors:
                reached.add(name)
        for name in node.output:
            above[name] = reached
    return {name: above.get(name, set()) for name in tensors}


def compare(model, expected, actual):
    """Compares two dumps, `{tensor: [samples, ...]}`, over the tensors of `expected`."""
    operators = ort_session.quantized_tensors(model)
    result = Comparison()
    differing = {}
    for name, reference in expected.items():
        if name not in actual:
            result.problems.append(f"{name}: missing from the dump")
            continue
        other = actual[name]
        if other.dtype != reference.dtype:
            result.problems.append(f"{name}: is {other.dtype}, not {reference.dtype}")
            continue
        if len(other) != len(reference) or other.size != reference.size:
            result.problems.append(f"{name}: has shape {other.shape}, not {reference.shape}")
            continue
        # The batch axis of one may be present or not, so only the order is compared.
        shape = (len(reference), -1)
        differing[name] = np.abs(
            reference.reshape(shape).astype(np.int64) - other.reshape(shape).astype(np.int64)
        )
    ancestors = _ancestors(model, set(differing))
    for name, difference in differing.items():
        tainted = np.zeros(len(difference), bool)
        for ancestor in ancestors[name]:
            tainted |= differing[ancestor].any(axis=1)
        clean = difference[~tainted]
        count = Count(
            tensors=1,
            elements=difference.size,
            original=int((clean != 0).sum()),
            inherited=int((difference[tainted] != 0).sum()),
            largest_original=int(clean.max(initial=0)),
        )
        result.operators.setdefault(operators[name], Count()).add(count)
    return result
