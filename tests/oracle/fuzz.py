#!/usr/bin/env python3
"""Differential fuzzing: random chains of float and integer arithmetic, in ONNX Runtime and here.

    fuzz.py ZKONNX_BENCH COUNT [SEED] [--jobs N] [--out FOLDER] [--minimise N]

Exits with 1 for a difference that `fuzz_allowances.json` does not explain, for a crash, and for an allowance of that
file that nothing needed (only runs of at least 10,000 graphs can say so).
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np

import fuzz_report
from fuzz_graphs import fuzzed
from fuzz_judge import Batch, Crash, inexact, judge, labels, oracle, run, save
from fuzz_minimise import describe, minimise, responsible
from fuzz_twins import function, twin

CHUNK = 250
TWINS = 0.25


def same_cause(batch, folder, status, kind):
    """Whether a smaller model still is what the first was."""

    def differs(model, feeds):
        try:
            verdict = judge(batch, folder, model, feeds)
            return verdict.status == status and (kind is None or any(d.kind == kind for d in verdict.differences))
        except Exception:  # A candidate that makes no sense is no smaller model.
            return False

    return differs


def examined(batch, folder, graph, verdict, arguments, record):
    """Where a difference comes from: its label, and what is left of the model."""
    record["differences"] = [vars(d) for d in verdict.differences]
    record["label"] = inexact(graph.model, verdict.differences, labels(batch, folder))
    model, feeds = graph.model, graph.feeds
    kinds = sorted({d.kind for d in verdict.differences}, key=("values", "shape", "order", "missing").index)
    if kinds == ["missing"]:
        record["responsible"] = "an output that is missing"
    elif arguments.budget > 0:
        arguments.budget -= 1
        kind = kinds[0] if kinds else None
        model, feeds = minimise(model, feeds, same_cause(batch, folder, verdict.status, kind))
        again = judge(batch, folder, model, feeds)
        record["differences"] = [vars(d) for d in again.differences] or record["differences"]
        record["responsible"], record["left"] = responsible(model), describe(model, feeds)
        if again.differences:
            record["label"] = inexact(model, again.differences, labels(batch, folder))
    save(model, feeds, Path(arguments.out) / "different" / str(graph.seed))


def changed(graph):
    """The twin of a graph, if it has one: the model and the name of the change."""
    rng = np.random.default_rng(zlib.crc32(f"twin_{graph.seed}".encode()))
    return twin(rng, graph.model) if rng.random() < TWINS else None


def twinned(batch, folder, graph, record):
    """The id of the changed graph, where it is accepted."""
    made = changed(graph)
    if made is None:
        return
    model, change = made
    given = list(graph.feeds.values())
    # An input that is renamed keeps its place.
    feeds = {i.name: graph.feeds.get(i.name, given[min(n, len(given) - 1)]) for n, i in enumerate(model.graph.input)}
    code, answer = run(batch, folder, model, feeds)
    if code == 0:
        record["twin"] = {"change": change, "id": answer["program_id"]}


def function_of(seed, change):
    """What the graph of a seed, or its twin, computes; None where ONNX Runtime does not say."""
    graph = fuzzed(seed)
    try:
        return function(changed(graph)[0] if change else graph.model, oracle)
    except Exception:  # Some probes are no places, and not every changed model makes sense.
        return None


def examine(batch, folder, seed, arguments):
    """The record of one seed."""
    graph = fuzzed(seed)
    record = {"seed": seed, "parts": graph.parts}
    verdict = judge(batch, folder, graph.model, graph.feeds)
    record["status"] = verdict.status
    for key in ("reason", "operator", "program_id", "not_computed"):
        if getattr(verdict, key):
            record[key] = getattr(verdict, key)
    if verdict.status in ("different", "failed"):
        examined(batch, folder, graph, verdict, arguments, record)
    if verdict.program_id:
        try:
            twinned(batch, folder, graph, record)
        except Crash as crash:
            record["status"], record["reason"] = "failed", f"twin: {crash}"
    return record


def worker(arguments):
    """One process: a line for each seed, written before the next begins."""
    batch = Batch(arguments.bench)
    with tempfile.TemporaryDirectory() as folder, open(arguments.records, "a") as out:
        for seed in range(arguments.seed, arguments.seed + arguments.count):
            out.write(json.dumps(examine(batch, folder, seed, arguments)) + "\n")
            out.flush()
    batch.close()


class Chunks:
    """Worker processes over the seeds; one that dies (integer traps in ONNX Runtime) is continued after its seed."""

    def __init__(self, arguments, folder):
        self.arguments, self.folder = arguments, Path(folder)
        self.waiting = [
            (first, min(CHUNK, arguments.seed + arguments.count - first))
            for first in range(arguments.seed, arguments.seed + arguments.count, CHUNK)
        ]
        self.running, self.dead = {}, []

    def start(self, first, count):
        records = self.folder / f"{first}.jsonl"
        command = [sys.executable, __file__, self.arguments.bench, str(count), str(first), "--records", str(records),
                   "--out", self.arguments.out, "--minimise", str(self.arguments.minimise)]  # fmt: skip
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL if not self.arguments.verbose else None)
        self.running[process] = (first, count, records)

    def reap(self, process):
        first, count, records = self.running.pop(process)
        done = sum(1 for _ in records.open()) if records.exists() else 0
        for line in records.open() if records.exists() else ():
            yield json.loads(line)
        if done < count:
            self.dead.append(first + done)
            yield {"seed": first + done, "parts": [], "status": "died"}
            if count - done - 1:
                self.waiting.insert(0, (first + done + 1, count - done - 1))

    def records(self):
        while self.waiting or self.running:
            while self.waiting and len(self.running) < self.arguments.jobs:
                self.start(*self.waiting.pop(0))
            time.sleep(0.05)
            for process in [p for p in self.running if p.poll() is not None]:
                yield from self.reap(process)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bench", help="zkonnx-bench")
    parser.add_argument("count", type=int)
    parser.add_argument("seed", type=int, nargs="?", default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", default="", help="keeps models that differ and records here")
    parser.add_argument("--minimise", type=int, default=20, help="so many differences of each 250 graphs")
    parser.add_argument("--records", help=argparse.SUPPRESS)
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    arguments.budget = arguments.minimise
    if arguments.records:
        worker(arguments)
        return
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        kept = arguments.out
        arguments.out = arguments.out or folder
        report = fuzz_report.Report(function_of)
        for record in Chunks(arguments, folder).records():
            report.add(record)
        if kept:
            shutil.copy(report.write(Path(folder) / "records.jsonl"), Path(kept) / "records.jsonl")
    good = report.finish(time.monotonic() - started)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
