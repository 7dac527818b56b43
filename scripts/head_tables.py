"""What docs/measured.md says of taggers and decoders, from their committed benchmarks."""

from __future__ import annotations

from typing import Any

from markdown_table import table

from rpmask.words import duration

Report = dict[str, Any]


def tagging(report: Report) -> str:
    """The dense models, and what each seed keeps."""
    kept = report["kept"]
    rows = [
        ["dense, by rpmask", f"{report['dense']['entity_f1']:.4f}", *[""] * 4],
        ["dense, by transformers alone", f"{report['plain']:.4f}", *[""] * 4],
    ]
    rows += [
        [
            f"{1 - report['sparsity']:.2%} kept, seed {run['seed']}",
            f"{run['f1']:.4f}",
            f"{run['kept']:.1%}",
            f"{run['agreement']:.1%}",
            f"{run['steps']['race']:,} + {run['steps']['training']:,}",
            f"{duration(run['seconds']['took'])} ({duration(run['seconds']['planned'])})",
        ]
        for run in report["runs"]
    ]
    low, high = kept["interval"]
    rows.append(["mean", "", f"{kept['mean']:.1%} [{low:.1%}, {high:.1%}]", *[""] * 3])
    head = ["model", "entity F1", "of the dense F1", "agreement", "steps: race + training"]
    return table([*head, "time (planned)"], rows)


def walk(report: Report) -> str:
    """A decoder's perplexities, and whether it continues texts alike everywhere."""
    dense, said = report["dense"], report["continuations"]
    rows = [
        ["dense perplexity, by rpmask", f"{dense['rpmask']:.4f}"],
        ["dense perplexity, by a loop over transformers", f"{dense['plain']:.4f}"],
        *(
            [
                f"distance of candidate {number}, {one['importance']}, in the race",
                f"{one['distance']:.4f}",
            ]
            for number, one in enumerate(report["candidates"])
        ),
        ["verdict", f"`{report['verdict']}`"],
        [
            f"perplexity at 50 % after {report['steps']['training']} steps",
            f"{report['perplexity']:.2f}",
        ],
        [
            f"greedy continuations of {len(next(iter(said.values())))} texts {', '.join(said)}",
            "the same" if report["same"] else "not the same",
        ],
    ]
    return table(["what", "measured"], rows)
