"""What a run of the fuzzer found: counts, refusals, differences by operator, and ids of two functions."""

import json
from collections import Counter
from pathlib import Path

ALLOWANCES = Path(__file__).with_name("fuzz_allowances.json")
# Shorter runs need not meet every allowance.
ENOUGH = 10000


def allowances():
    """Differences that are written down: operators, the largest distance, the section of SEMANTICS.md, the reason."""
    return json.loads(ALLOWANCES.read_text())


class Report:
    """`function_of(seed, change)` says what the graph of a seed computes, or its twin with that change."""

    def __init__(self, function_of):
        self.records, self.function_of = [], function_of

    def add(self, record):
        self.records.append(record)

    def write(self, path):
        path.write_text("".join(json.dumps(r) + "\n" for r in sorted(self.records, key=lambda r: r["seed"])))
        return path

    def _identities(self):
        """Program ids that stand for two functions: the change of a twin if any, and both seeds."""
        entries = {}
        for record in sorted(self.records, key=lambda r: r["seed"]):
            if "program_id" in record:
                entries.setdefault(record["program_id"], []).append((record["seed"], None))
            if "twin" in record:
                entries.setdefault(record["twin"]["id"], []).append((record["seed"], record["twin"]["change"]))
        found = []
        for same in entries.values():
            made = [(seed, change, self.function_of(seed, change)) for seed, change in same] if len(same) > 1 else []
            made = [entry for entry in made if entry[2] is not None]
            found += [(change or "none", made[0][0], seed) for seed, change, f in made if f != made[0][2]]
        return found

    def finish(self, seconds):
        """Prints all of it; returns whether nothing is left unexplained."""
        counts = Counter(r["status"] for r in self.records)
        total = len(self.records)
        run = counts["equal"] + counts["different"] + counts["failed"]
        judged = run + counts["refused"]
        print(f"{total} graphs in {seconds:.0f} s: {counts['equal']} equal, {counts['different']} different, "
              f"{counts['refused']} refused ({100 * counts['refused'] / max(judged, 1):.1f} % of those that ONNX Runtime runs), "
              f"{counts['no oracle'] + counts['died']} without an oracle, {counts['failed']} failed; "
              f"{sum(r.get('not_computed', 0) for r in self.records)} float outputs not computed")  # fmt: skip
        self._table("refused", lambda r: f"{r.get('operator', '')}: {r.get('reason', '')}", 25)
        self._table("no oracle", lambda r: r.get("reason", ""), 8)
        return self._judge_differences()

    def _table(self, status, key, most):
        rows = Counter(key(r) for r in self.records if r["status"] == status)
        for row, count in rows.most_common(most):
            print(f"  {status}: {count} × {row}")

    def _judge_differences(self):
        written = allowances()
        used, rows, bad = set(), {}, 0
        for record in self.records:
            if record["status"] == "failed":
                bad += 1
                print(f"  failed: seed {record['seed']}: {record.get('reason')}")
            if record["status"] != "different":
                continue
            allowed = next((i for i, a in enumerate(written) if _covers(a, record)), None)
            if allowed is not None:
                used.add(allowed)
            name = record.get("responsible") or "+".join(record["parts"])
            mark = "allowed" if allowed is not None else f"documented ({record['label']})" if record.get("label") else "DIFFERENT"
            bad += allowed is None
            rows.setdefault((mark, name), []).append(record)
        for (mark, name), records in sorted(rows.items(), key=lambda row: (row[0][0], -len(row[1]))):
            seeds = ", ".join(str(r["seed"]) for r in records[:5])
            largest = max(d["largest"] for r in records for d in r["differences"]) if all(r.get("differences") for r in records) else 0
            print(f"  {mark}: {len(records)} × {name} (by up to {largest:g}; seeds {seeds})")
            if mark == "DIFFERENT":
                first = min(records, key=lambda r: len(r.get("left", "x" * 999)))
                example = "; ".join(f"{d['output']} {d['kind']} {d['example']}" for d in first["differences"][:1])
                print(f"      seed {first['seed']}: {first.get('left', '')[:240]}: {example}")
        identities = self._identities()
        for change, count in Counter(i[0] for i in identities).most_common():
            seeds = ", ".join(f"{i[1]}/{i[2]}" for i in identities if i[0] == change)
            print(f"  ONE ID, TWO FUNCTIONS: {count} × {change} (seeds {seeds[:80]})")
        stale = [a for i, a in enumerate(written) if i not in used] if len(self.records) >= ENOUGH else []
        for allowance in stale:
            print(f"  allowance that nothing needed: {allowance['operators']}")
        return not bad and not identities and not stale


def _covers(allowance, record):
    """Whether an allowance explains the record: its operators are among those left, and no distance is larger."""
    names, label = record.get("responsible", "").split("+"), allowance.get("label")
    if label != record.get("label"):
        return False
    if allowance["operators"] != "any" and not set(names).intersection(allowance["operators"]):
        return False
    return all(d["kind"] == "values" and d["largest"] <= allowance["largest"] for d in record["differences"])
