"""Head `image`: one of several classes for an image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rpmask.errors import RpmaskError
from rpmask.heads.classification import Classes
from rpmask.heads.head import Column, Head
from rpmask.tasks.spec import TaskSpec

if TYPE_CHECKING:
    from rpmask.heads.splits import Split


class Images:
    """A row is an image, read with an image processor; images have no tokens."""

    are_text = False
    pipeline = "ImageClassificationPipeline"
    pipeline_task = "image-classification"
    pipeline_answers: tuple[Column, ...] = ()  # a column for each class
    packages: tuple[str, ...] = ("pillow",)

    def encode(self, rows: Any, reader: Any, spec: TaskSpec, max_length: int) -> Split:
        """A split with the image processor of the model that will see it."""
        from rpmask.heads.splits import encode_images

        return encode_images(rows, reader)

    def batch(
        self, rows: Sequence[Any], reader: Any, *, pair: bool | None, max_length: int
    ) -> dict[str, Any]:
        """Refused: a user's rows are texts."""
        raise RpmaskError(
            "This model reads images, not texts.", "Use `logits` with a batch of pixels."
        )

    def columns(self, pair: bool | None) -> tuple[Column, ...]:
        """Base64 text or a URL, which MLflow's pipeline reads."""
        return (Column("image"),)

    pipeline_columns = columns

    def rows(self, table: Mapping[str, Iterable[Any]]) -> list[Any]:
        """The images as they are."""
        return list(table["image"])


IMAGE = Head("image", "ForImageClassification", Images(), Classes())
