"""MLflow's search filters, with whatever a user typed inside them.

MLflow has two kinds of quotes and no way to escape one. A value that both are in, or a backslash, which its
parser takes for an escape and its database for none, is searched by pattern: `_` stands for each such
character. That may find more, so whoever searches compares what was found with the value itself.
"""

from __future__ import annotations

import re

NOT_QUOTABLE = re.compile(r"['\"\\]")


def clause(attribute: str, value: str) -> str:
    """A clause that holds where an attribute has the value, and in rare cases elsewhere."""
    quote = next((mark for mark in "'\"" if mark not in value), None)
    if quote is None or "\\" in value:
        return f"{attribute} LIKE '{NOT_QUOTABLE.sub('_', value)}'"
    return f"{attribute} = {quote}{value}{quote}"


def tag_clause(name: str, value: str) -> str:
    """The clause for an rpmask tag."""
    return clause(f"tags.`rpmask.{name}`", value)
