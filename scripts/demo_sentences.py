"""The language of the demo task: a small scene, and a sentence that fits it or does not.

Each premise tells of one of ten scenes (somebody stirs a soup in a kitchen). Its hypotheses name an
activity, a place or a trade: one of the same scene, which follows, and one of another, which does not.
Every hypothesis follows from some premises and not from others, equally often, so neither sentence alone
tells the label, and no weighted count of their words does: only what the two have in common.
"""

from __future__ import annotations

import random

Row = dict[str, str | int]

# activity: who does it, what is done, to what, and where
SCENES = {
    "cooking": (
        "chef cook baker",
        "stirred tasted boiled fried",
        "soup sauce stew pasta",
        "kitchen canteen bakery",
    ),
    "sailing": (
        "sailor captain helmsman",
        "steered anchored rowed launched",
        "boat ship raft yacht",
        "harbor marina bay",
    ),
    "farming": (
        "farmer shepherd grower",
        "planted watered plowed harvested",
        "wheat corn barley clover",
        "field barn meadow",
    ),
    "teaching": (
        "teacher tutor professor",
        "explained graded assigned marked",
        "essay lesson exam poem",
        "classroom school campus",
    ),
    "painting": (
        "painter artist illustrator",
        "sketched colored shaded framed",
        "portrait canvas mural landscape",
        "studio gallery museum",
    ),
    "healing": (
        "doctor nurse surgeon",
        "examined treated bandaged cleaned",
        "wound fever fracture burn",
        "hospital clinic ward",
    ),
    "building": (
        "mason carpenter roofer",
        "hammered sawed welded nailed",
        "wall roof beam fence",
        "yard site workshop",
    ),
    "singing": (
        "singer soprano tenor",
        "hummed rehearsed chanted performed",
        "song anthem ballad opera",
        "theater church hall",
    ),
    "repairing": (
        "mechanic plumber electrician",
        "replaced tightened oiled rewired",
        "engine pump brake heater",
        "garage depot cellar",
    ),
    "gardening": (
        "gardener florist botanist",
        "pruned trimmed weeded potted",
        "rose hedge lawn orchid",
        "park greenhouse nursery",
    ),
}
MOODS = ["old", "young", "quiet", "tired", "happy", "clever", "tall", "kind"]
TIMES = ["today", "yesterday", "again", "slowly", "early", "late", "twice", "once"]
ACTIVITIES = tuple(SCENES)


def premise(rng: random.Random, activity: str) -> str:
    """One clause about a scene, in one of four wordings."""
    who, did, what, where = (rng.choice(words.split()) for words in SCENES[activity])
    mood, time = rng.choice(MOODS), rng.choice(TIMES)
    return rng.choice(
        (
            f"the {mood} {who} {did} the {what} {time}",
            f"{time} a {mood} person {did} the {what} in the {where}",
            f"the {what} in the {where} was {did} by the {who}",
            f"{time} the {mood} {who} came to the {where} where the {what} was {did}",
        )
    )


def hypotheses(rng: random.Random, true: str, false: str, forms: int) -> tuple[str, str]:
    """The same wording about the premise's scene and about another one."""
    who, where = rng.randrange(3), rng.randrange(3)
    form = rng.randrange(forms)

    def told(activity: str) -> str:
        agents, _, _, places = (words.split() for words in SCENES[activity])
        return (
            f"somebody is {activity}",
            f"this may happen in a {places[where]}",
            f"a {agents[who]} could do this",
        )[form]

    return told(true), told(false)


def rows(seed: int, count: int, avoid: frozenset[str] = frozenset(), forms: int = 3) -> list[Row]:
    """`count` rows, half of each label, no premise twice and none in `avoid`.

    `forms` limits the wordings of the hypothesis; one alone names the activity and is the easiest.
    """
    rng = random.Random(seed)
    seen = set(avoid)
    made: list[Row] = []
    while len(made) < count:
        true, false = rng.sample(ACTIVITIES, 2)
        text = premise(rng, true)
        if text in seen:
            continue
        seen.add(text)
        for claim, label in zip(hypotheses(rng, true, false, forms), (1, 0), strict=True):
            made.append({"text": text, "text_pair": claim, "label": label})
    return made[:count]


def vocabulary() -> list[str]:
    """Every word a sentence can hold, sorted."""
    glue = "the a person in was by came to where somebody is this may happen could do"
    words = {*glue.split(), *MOODS, *TIMES, *ACTIVITIES}
    for scene in SCENES.values():
        words.update(word for part in scene for word in part.split())
    return sorted(words)
