"""How long the tests of two commits take on one machine, from the reports that pytest writes.

    git clone . ../before && git -C ../before checkout db320f4
    make -C ../before test PYTEST_ADDOPTS=--junitxml=$PWD/before.xml
    make test PYTEST_ADDOPTS=--junitxml=$PWD/now.xml
    python benchmarks/suites.py before.xml now.xml --commits db320f4 2cc6585

Nothing else should run beside them. `wall` is the time of a whole suite. `shared` are the tests that both
commits have, by file name and test, and `new` those that only the later one has; their seconds are summed
over processes. Writes benchmarks/suites.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from rpmask.files import write_whole

Case = tuple[str, str]  # the test's file, and its name with parameters


def read(path: Path) -> tuple[float, dict[Case, float]]:
    """The seconds of the whole suite, and of each test that was not skipped."""
    (suite,) = ElementTree.parse(path).getroot()
    found: dict[Case, float] = {}
    for case in suite.iter("testcase"):
        if case.find("skipped") is None:
            file = case.attrib["classname"].rpartition(".")[2]
            key = (file, case.attrib["name"])
            found[key] = found.get(key, 0.0) + float(case.attrib["time"])
    return float(suite.attrib["time"]), found


def measure(before: Path, now: Path) -> dict[str, Any]:
    """Every figure of the two reports."""
    (old_wall, old), (new_wall, new) = read(before), read(now)
    shared = old.keys() & new.keys()

    def seconds(found: dict[Case, float], keys: set[Case]) -> float:
        return round(sum(found[key] for key in keys), 1)

    return {
        "wall": {
            "before": round(old_wall, 1),
            "now": round(new_wall, 1),
            "ratio": round(new_wall / old_wall, 3),
        },
        "tests": {"before": len(old), "now": len(new), "shared": len(shared)},
        "shared": {
            "before": seconds(old, shared),
            "now": seconds(new, shared),
            "ratio": round(seconds(new, shared) / seconds(old, shared), 3),
        },
        "new": seconds(new, new.keys() - shared),
        "gone": seconds(old, old.keys() - shared),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "reports", nargs=2, type=Path, help="Of the earlier commit, and of the later one."
    )
    parser.add_argument("--commits", nargs=2, required=True, help="The two commits, in that order.")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    document = {
        "command": " ".join(
            ["python benchmarks/suites.py before.xml now.xml --commits", *arguments.commits]
        ),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "commits": arguments.commits,
        **measure(*arguments.reports),
    }
    write_whole(arguments.out, (json.dumps(document, indent=1) + "\n").encode())
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
