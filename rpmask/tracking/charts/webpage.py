"""Figures and words as one HTML file that needs nothing else: no script, font or image is fetched.

The figures are inline SVG with real text, so they can be searched, copied and scaled. Each carries
its description for screen readers, and a content policy in the head forbids every request.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Sequence

import matplotlib
from markdown_it import MarkdownIt
from matplotlib.figure import Figure

_STYLE = """
:root { color-scheme: light; }
body { margin: 2rem auto; max-width: 66rem; padding: 0 1rem; background: #fff; color: #1a1a1a;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 1rem; }
h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
a { color: #0060a0; }
code { font: .9em ui-monospace, Menlo, Consolas, monospace; background: #f3f3f3;
  padding: .1em .25em; }
pre code { display: block; padding: .75rem; overflow-x: auto; }
table { border-collapse: collapse; display: block; overflow-x: auto;
  font-size: .875rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: .3rem .5rem; border-bottom: 1px solid #ddd; text-align: left; }
figure { margin: 2.25rem 0; }
figure svg { display: block; width: 100%; height: auto; }
figcaption { margin-top: .4rem; color: #555; font-size: .9rem; }
@media print { body { margin: 0; max-width: none; } figure { break-inside: avoid; } }
"""


def page(title: str, intro: str, figures: Sequence[tuple[str, Figure]]) -> str:
    """One self-contained HTML document; `intro` is Markdown with tables.

    Raw HTML in it is shown as text: names of tasks, models and paths come from users.
    """
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    body = "\n".join(_figure(i, caption, figure) for i, (caption, figure) in enumerate(figures, 1))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{html.escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{html.escape(title)}</h1>
{markdown.render(intro).strip()}
{body}
</main>
</body>
</html>
"""


def _figure(number: int, caption: str, figure: Figure) -> str:
    description = str(figure.get_label()) or caption
    return (
        f"<figure>\n{_svg(number, figure, description)}\n"
        f"<figcaption>{html.escape(caption)}</figcaption>\n</figure>"
    )


def _svg(number: int, figure: Figure, description: str) -> str:
    """The drawing as an element of the page: own ids, words to read aloud, no fixed size."""
    file = io.StringIO()
    # A fixed salt keeps the same figure the same bytes from one run to the next.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "rpmask"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    drawing = file.getvalue()
    drawing = drawing[drawing.index("<svg") :].strip()
    drawing = re.sub(r"<metadata>.*?</metadata>\s*", "", drawing, count=1, flags=re.DOTALL)
    # Every figure counts its parts from 1, so ids would clash between figures of one page.
    prefix = f"figure-{number}-"
    drawing = re.sub(r'(\bid="|href="#|url\(#)', lambda found: found[1] + prefix, drawing)
    opening, rest = drawing.split(">", 1)
    opening = re.sub(r'\s(width|height)="[^"]*"', "", opening)
    # An attribute and not a <title>, which browsers would show over the chart at every hover.
    return f'{opening} role="img" aria-label="{html.escape(description)}">{rest}'
