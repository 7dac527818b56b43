"""Write docs/faults.md from the results that the fault suite left in tests/faults/results.json."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ELSEWHERE = [
    ("Packed and exported models", "tests/deploy"),
    ("A Ray worker killed, a Ray node gone", "tests/engines/test_ray.py"),
    ("Mask files, 20,000 damaged ones", "tests/masks/test_packed_format_fuzz.py"),
]
TEXT = """# Faults

`tests/faults/` kills rpmask, fills its disk, stops its server and damages its files. A fault is
survived if the command says in one sentence what is wrong, or if the same command, run again, ends
with the masks, winner, verdict, metrics, artifacts and registered versions of an undisturbed run;
anything else is lost. The moment of a kill is counted in the pipeline's own events (files written,
SQL statements executed, progress bars advanced) and drawn from a seed, so that it is the same on every
machine.

The {form} form of the suite, on {machine}, Python {python}:

| fault | tried | survived | lost | skipped |
|---|---|---|---|---|
{rows}

{longest}Faults that the machine does not permit, such as mounting a small disk, are skipped. `make test`
runs the short form: 8 kills, 100 damaged files per reader. `make faults` runs the long one and
writes this page.

A candidate that runs out of memory ends its race with an error and is not marked as failed: memory depends
on the machine, and the same command on a larger one, or with fewer workers, continues from the last finished
rung with the same result.

Code that a model folder contains (`auto_map`) is never run.

Tested elsewhere:

| fault | where |
|---|---|
{elsewhere}
"""


def main() -> None:
    results = json.loads((ROOT / "tests" / "faults" / "results.json").read_text(encoding="utf-8"))
    rows = []
    for name, row in sorted(results["faults"].items()):
        title = name.partition(": ")[2].rstrip(".")
        survived = row["tried"] - row["lost"]
        rows.append(
            f"| {title} | {row['tried']:,} | {survived:,} | {row['lost']} | {row['skipped']} |"
        )
    waits = [
        f"- {what}: {seconds:.2f} s"
        for what, seconds in sorted(results.get("longest_seconds", {}).items())
    ]
    longest = "The longest waits:\n\n" + "\n".join(waits) + "\n\n" if waits else ""
    text = TEXT.format(
        longest=longest,
        **{name: results[name] for name in ("form", "machine", "python")},
        rows="\n".join(rows),
        elsewhere="\n".join(f"| {fault} | `{where}` |" for fault, where in ELSEWHERE),
    )
    (ROOT / "docs" / "faults.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
