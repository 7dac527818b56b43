"""Charts and text as one HTML file that fetches nothing: no script, font or image.

Each figure is drawn once, and the page embeds the bytes of its PNG artifact. The figure's description
is the image's alternative text. A content security policy forbids every request.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

from markdown_it import MarkdownIt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave

_STYLE = """
body { margin: 2rem auto; max-width: 62rem; padding: 0 1rem; background: #fff; color: #1a1a1a;
  font: 1rem/1.55 system-ui, sans-serif; }
code { font: .9em ui-monospace, monospace; background: #f3f3f3; }
table { border-collapse: collapse; display: block; overflow-x: auto; font-size: .875rem;
  white-space: nowrap; }
th, td { padding: .3rem .5rem; border-bottom: 1px solid #ddd; text-align: left; }
figure { margin: 2.25rem 0; break-inside: avoid; }
figure img { width: 100%; }
figcaption { color: #555; font-size: .9rem; }
"""
PIXELS_PER_INCH = 120  # 960 px wide: sharp at the 800 px at which the MLflow UI shows an image


@dataclass(frozen=True)
class Picture:
    """A drawn figure: the PNG, the caption below it, and its alternative text."""

    caption: str
    description: str
    png: bytes


def draw(caption: str, figure: Figure) -> Picture:
    """Draw a figure; its label becomes the alternative text."""
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(PIXELS_PER_INCH)
    canvas.draw()  # once; `savefig` draws twice, first to arrange the axes
    file = io.BytesIO()
    imsave(file, canvas.buffer_rgba(), format="png", dpi=PIXELS_PER_INCH)
    return Picture(caption, str(figure.get_label()) or caption, file.getvalue())


def page(title: str, intro: str, pictures: Sequence[Picture]) -> str:
    """One self-contained HTML document; `intro` is Markdown with tables.

    Raw HTML in `intro` is shown as text, because names of tasks, models and paths come from users.
    """
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    body = "\n".join(_figure(picture) for picture in pictures)
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


def _figure(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode()
    return (
        f'<figure>\n<img src="data:image/png;base64,{data}" '
        f'alt="{html.escape(picture.description)}">\n'
        f"<figcaption>{html.escape(picture.caption)}</figcaption>\n</figure>"
    )
