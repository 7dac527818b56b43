"""The last lines of a verb: what was decided, what that means, and what to do next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rpmask.cli.tables import address
from rpmask.words import allocation_word, counted, percent, shown_interval

Lines = list[str]
FAR = 50  # times the examples of a race are more than anybody has


def closing_lines(verb: str, result: dict[str, Any]) -> Lines:
    """The lines of a verb, in that order."""
    return CLOSINGS[verb](result) if verb in CLOSINGS else []


def _three(decided: str, means: str, *following: str) -> Lines:
    return [f"decided: {decided}", f"means:   {means}", *(f"next:    {one}" for one in following)]


def _sample(result: dict[str, Any]) -> Lines:
    return _three(
        f"drawn at {percent(result['sparsity'])}: {counted(result['k'], 'candidate')}; candidate 0 is the "
        "magnitude mask, the control",
        "nothing was trained; a race shows which mask recovers best",
        f"rpmask screen --from {result['run_id']}",
    )


def _screen(result: dict[str, Any]) -> Lines:
    finished = [
        (c["score"], i) for i, c in enumerate(result["candidates"]) if c["status"] == "finished"
    ]
    ranked = sorted((score, i) for score, i in finished if score is not None)
    first = f"candidate {ranked[0][1]} is first" if ranked else "no candidate is first"
    return _three(
        f"{first} of {len(finished)} that reached the end, out of {len(result['candidates'])}",
        "the order after a short training; whether its lead is more than chance is not yet known",
        f"rpmask select --from {result['run_id']}",
    )


def _select(result: dict[str, Any]) -> Lines:
    kept = f"candidate {result['winner']}"
    best = f"candidate {result.get('best', result['winner'])}"
    means = {
        "better": f"{best} is better than the control by more than chance",
        "no-evidence": f"the race cannot tell {best} from the control",
        "worse": f"even {best}, the best of the others, is worse than the control",
    }[result["verdict"]]
    interval = f"{result['effect']:.4f} {shown_interval(result)}"
    lines = _three(
        f"{kept} is kept and registered as {address(result['model'])}",
        f"{result['verdict']}: {means} ({interval})",
        f"rpmask finetune --from {result['run_id']}",
    )
    return lines + _more_evidence(result.get("more_evidence"))


def _more_evidence(more: dict[str, Any] | None) -> Lines:
    """How to find out more, and its price; results of older versions do not say."""
    if not more:
        return []
    needed = more["examples"]
    if needed and needed > FAR * more["compared_on"]:
        return _ways(more, f"--examples: of no use, since this lead would need {needed:,} of them")
    rows = (
        f"--examples {needed}: the fewest that show this lead if it stays; it was seen on "
        f"{more['compared_on']}, and the selection split (--selection-rows) must have them"
        if needed
        else f"--examples: of no use, since the best candidate is not ahead on {more['compared_on']}"
    )
    return _ways(more, rows)


def _ways(more: dict[str, Any], rows: str) -> Lines:
    return [
        f"         or first more evidence: rpmask screen --from {more['pool_run_id']} with",
        f"           {rows}",
        f"           --full: {more['full_steps']:,} training steps instead of {more['steps_spent']:,}",
        f"           --twins {more['twins']}: {more['twin_steps']:,} more training steps, which measure the "
        "noise of training better",
    ]


def _finetune(result: dict[str, Any]) -> Lines:
    model, primary = result["model"], result["primary"]
    where = f"models:/{model['name']}/{model['version']}"
    if not result["sparsity"]:
        return _three(
            f"{where} is the dense model",
            f"{primary} {result['dev'][primary]:.4f} on dev is what sparse models are compared with",
            f"rpmask sample --task {result['task']} --model {where}",
        )
    return _three(
        f"{where} is {'the champion' if result['promoted'] else 'registered, and not the champion'}",
        _kept(result),
        f"rpmask export {where} --to packed",
        "rpmask report",
    )


def _kept(result: dict[str, Any]) -> str:
    primary = result["primary"]
    share = result["retention"]
    kept = "" if share is None or share != share else f", {share:.1%} of the dense model's"
    return (
        f"{primary} {result['dev'][primary]:.4f} on dev{kept}, with {percent(result['sparsity'])} of the "
        "weights dropped"
    )


def _run(result: dict[str, Any]) -> Lines:
    last, champion = result["levels"][-1], result["champion"]
    if champion is None:
        decided = (
            "no model is champion: none kept --retain of the dense metric on the selection split"
        )
        following = "rpmask report"
    else:
        address = f"models:/{champion['name']}/{champion['version']}"
        decided, following = f"{address} is the champion", f"rpmask export {address} --to packed"
    return _three(
        decided,
        f"the last level: {_kept(last['finetune'])}; its mask is `{last['select']['verdict']}` against the "
        "magnitude mask",
        following,
        "rpmask ui",
    )


def _tune(result: dict[str, Any]) -> Lines:
    best = result["best"]
    return _three(
        f"candidate {best['candidate']} of the last race is the best so far",
        f"masks of importance {best['importance']}, allocation {allocation_word(best['allocation'])}, "
        f"temperature {best['temperature']:.3g} recovered best in {result['steps_spent']:,} training steps",
        f"rpmask select --from {best['screen_run_id']}",
    )


def _jackpot(result: dict[str, Any]) -> Lines:
    primary = result["primary"]
    return _three(
        f"the mask of epoch {result['best_epoch']} is kept and registered as {address(result['model'])}",
        f"with no weight changed, {primary} is {result['dev'][primary]:.4f} on dev; the dense model's is "
        f"{result['dense'][primary]:.4f}",
        f"rpmask finetune --from {result['run_id']}",
    )


CLOSINGS: dict[str, Callable[[dict[str, Any]], Lines]] = {
    "sample": _sample,
    "screen": _screen,
    "select": _select,
    "finetune": _finetune,
    "run": _run,
    "tune": _tune,
    "jackpot": _jackpot,
}
