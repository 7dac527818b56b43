"""MLflow's search filters for values that a user typed.

MLflow cannot escape a quote. A value with both kinds of quotes, or with a backslash (which its parser reads
as an escape and its database does not), is searched by a pattern in which `_` stands for each such
character. The pattern may match more, so the caller compares what it finds with the value.
"""

from __future__ import annotations

import re

NOT_QUOTABLE = re.compile(r"['\"\\]")


def clause(attribute: str, value: str) -> str:
    """A filter for runs whose attribute has this value; it may match a few other values too."""
    quote = next((mark for mark in "'\"" if mark not in value), None)
    if quote is None or "\\" in value:
        return f"{attribute} LIKE '{NOT_QUOTABLE.sub('_', value)}'"
    return f"{attribute} = {quote}{value}{quote}"


def tag_clause(name: str, value: str) -> str:
    """The same filter for an rpmask tag."""
    return clause(f"tags.`rpmask.{name}`", value)
