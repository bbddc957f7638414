#!/usr/bin/env python3
"""Conformance of the `zkonnx` binary: cases as data, and seeded graphs.

    conformance.py nodes ZKONNX              the ONNX backend node tests in the domain
    conformance.py operators ZKONNX [N]      each operator by itself, N rounds
    conformance.py tool ZKONNX [N]           what ONNX Runtime's quantizer makes of small networks, each Nth
    conformance.py random ZKONNX [N] [SEED]  N random graphs from SEED on, executor and mock prover
    conformance.py mutants BENCH [N] [SEED]  lies about the circuits of N random graphs; BENCH is zkonnx-bench

Prints what was compared and what differs; exits 1 if anything fails that
`skips.txt` (for the node tests) or `conformance.json` (differences by operator)
does not cover.
"""

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import onnx

import ort_session
from graphs import judge
from node_cases import node_cases
from random_graphs import operator_graphs, random_graph
from tool_graphs import tool_graphs

HERE = Path(__file__).parent
SKIPS, ALLOWANCES = HERE / "skips.txt", HERE / "conformance.json"
NEEDED_SHARE = 0.95
OUTSIDE, LIMIT = "outside", "limit"


def skips():
    """`[(pattern, kind, reason)]` of the skip list."""
    lines = [line for line in SKIPS.read_text().splitlines() if line and line[0] != "#"]
    found = [tuple(part.strip() for part in line.split("|", 2)) for line in lines]
    bad = [entry for entry in found if len(entry) != 3 or entry[1] not in (OUTSIDE, LIMIT)]
    if bad:
        sys.exit(f"{SKIPS.name}: not `pattern | {OUTSIDE} or {LIMIT} | reason`: {bad[0]}")
    return found


def judged(binary, graphs, mock):
    """`(graph, verdict)` of each graph, in order; as many at once as there are processors."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as workers:
        yield from workers.map(lambda graph: (graph, judge(binary, graph, mock(graph))), graphs)


def failure(graph, verdict):
    """What is wrong with a verdict, or `None`."""
    if verdict.no_oracle:
        return f"ONNX Runtime does not run it: {verdict.no_oracle}"
    if graph.refused:
        return None if verdict.refused else f"not refused, though {graph.refused}"
    if verdict.refused:
        return verdict.refused
    if verdict.problems:
        return "; ".join(verdict.problems)
    if verdict.satisfied is False:
        return "the circuit does not accept the execution"
    if verdict.largest() > graph.tolerance:
        return f"{verdict.differing()} elements differ, by up to {verdict.largest()}"
    return None


def nodes(binary):
    """The node tests; returns whether all is as it should be."""
    listed = subprocess.run([binary, "ops", "--json"], capture_output=True, text=True, check=True)
    operators = json.loads(listed.stdout)["operators"]
    table, used = skips(), set()
    passed, limited, outside, unexplained = 0, 0, 0, []
    exercised = set()
    for graph, verdict in judged(binary, node_cases(operators), lambda graph: False):
        wrong = failure(graph, verdict)
        entry = next((e for e in table if fnmatch.fnmatchcase(graph.name, e[0])), None)
        if wrong is None:
            passed += 1
            exercised.add(graph.operator)
        elif entry is None:
            unexplained.append(f"{graph.name}: {wrong}")
        else:
            used.add(entry)
            outside += entry[1] == OUTSIDE
            limited += entry[1] == LIMIT
    stale = [entry[0] for entry in table if entry not in used]
    total = passed + limited + len(unexplained)
    share = passed / total if total else 0.0
    print(
        f"node tests: {passed} of {total} in the domain pass ({100 * share:.1f} %), over "
        f"{len(exercised)} operators; {limited} are known limits, {outside} more lie outside of it"
    )
    for line in unexplained:
        print(f"not on the skip list: {line}", file=sys.stderr)
    for pattern in stale:
        print(f"on the skip list, but nothing fails: {pattern}", file=sys.stderr)
    return not unexplained and not stale and share >= NEEDED_SHARE


class Tally:
    """Differences by operator, with those of graphs full of ties apart."""

    def __init__(self):
        self.rows, self.wrong, self.graphs, self.mocked, self.refused = {}, [], 0, 0, {}

    def add(self, graph, verdict):
        self.graphs += 1
        if graph.refused and verdict.refused:
            self.refused[graph.refused] = self.refused.get(graph.refused, 0) + 1
        self.mocked += bool(verdict.satisfied)
        # Differences are judged by operator, over all graphs.
        wrong = failure(replace(graph, tolerance=255), verdict)
        if wrong is not None:
            self.wrong.append(f"{graph.name}: {wrong}")
        for operator, elements, differing, largest in verdict.counts:
            key = f"{operator} (ties)" if graph.ties else operator
            row = self.rows.setdefault(key, [0, 0, 0])
            row[0] += elements
            row[1] += differing
            row[2] = max(row[2], largest)

    def finish(self, title):
        """Prints the table of what differs; returns whether all of it is allowed."""
        allowed = json.loads(ALLOWANCES.read_text())
        elements = sum(row[0] for row in self.rows.values())
        differing = sum(row[1] for row in self.rows.values())
        print(
            f"{title}: {self.graphs} graphs, "
            f"{self.graphs - len(self.wrong) - sum(self.refused.values())} executed, "
            f"{self.mocked} accepted by the mock prover; {differing} of {elements} elements over "
            f"{len(self.rows)} operators differ from ONNX Runtime"
        )
        for reason, count in self.refused.items():
            print(f"  {count} are refused, as {reason}")
        for operator, (count, bad, largest) in sorted(self.rows.items()):
            if not bad:
                continue
            limit = allowed.get(operator, {"max_ppm": 0, "max_difference": 0})
            ppm = 1e6 * bad / count
            print(f"  {operator}: {bad} of {count} ({ppm:.0f} ppm), by up to {largest}")
            # One element of a short run is no rate.
            if (bad > 1 and ppm > limit["max_ppm"]) or largest > limit["max_difference"]:
                self.wrong.append(f"{operator}: more than the {limit['max_ppm']} ppm allowed")
        for line in self.wrong:
            print(line, file=sys.stderr)
        return not self.wrong


def tallied(binary, graphs, title, mock):
    tally = Tally()
    for graph, verdict in judged(binary, graphs, mock):
        tally.add(graph, verdict)
    return tally.finish(title)


def mutants(bench, seeds, each):
    """Lies about the circuit of each random graph, `each` of them or all; whether all are rejected."""
    with tempfile.TemporaryDirectory() as scratch:
        models = []
        for seed in seeds:
            graph = random_graph(seed)
            models.append(Path(scratch) / f"{graph.name}.onnx")
            onnx.save(graph.model, models[-1])
        command = [bench, "mutants", "--sample", each, *models]
        done = subprocess.run(
            [str(part) for part in command], stdout=subprocess.PIPE, text=True, check=False
        )
    *rows, last = done.stdout.splitlines() or [""]
    print(f"random graphs: {last}")
    if done.returncode != 0:
        print("\n".join(row for row in rows if "100.00 %" not in row), file=sys.stderr)
    return done.returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("suite", choices=("nodes", "operators", "tool", "random", "mutants"))
    parser.add_argument("zkonnx", help="the binary")
    parser.add_argument("count", nargs="?", type=int)
    parser.add_argument("seed", nargs="?", type=int, default=1)
    parser.add_argument("--each", type=int, default=20000, help="lies about one graph")
    arguments = parser.parse_args()
    if arguments.suite == "mutants":
        seeds = range(arguments.seed, arguments.seed + (arguments.count or 100))
        sys.exit(0 if mutants(arguments.zkonnx, seeds, arguments.each) else 1)
    if arguments.suite == "nodes":
        good = nodes(arguments.zkonnx)
    elif arguments.suite == "operators":
        graphs = operator_graphs(arguments.count or 1)
        good = tallied(arguments.zkonnx, graphs, "operators", lambda graph: False)
    elif arguments.suite == "tool":
        graphs = tool_graphs(arguments.count or 1)
        good = tallied(arguments.zkonnx, graphs, "quantize_static", lambda graph: True)
    else:
        seeds = range(arguments.seed, arguments.seed + (arguments.count or 300))
        graphs = (random_graph(seed) for seed in seeds)
        good = tallied(arguments.zkonnx, graphs, "random", lambda graph: True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
