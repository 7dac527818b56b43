"""The requests of `export` and `bench`. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass

from rpmask.deploy.manifest import FORMS, HUB, VALUES
from rpmask.errors import RpmaskError
from rpmask.settings import Checked, setting

FASTEST = "auto"
CHAMPION = "models:/rpmask-demo@champion"
THREADS_HELP = "CPU threads to time with"


@dataclass(frozen=True)
class ExportRequest(Checked):
    """The parameters of `export`. Answers are compared on rows of the selection split."""

    source: str = CHAMPION
    form: str = setting(
        "packed",
        "packed, dense, csr, compact, onnx, auto (the fastest of them on this machine), or hub (dense, for "
        "the Hugging Face hub)",
        "--to",
        choices=(*FORMS, FASTEST, HUB),
    )
    values: str = setting(
        "fp32",
        "Type of the stored weights, with packed and csr: fp32, fp16, bf16 or int8",
        choices=VALUES,
    )
    rows: int = setting(
        64,
        "Rows on which the exported model's answers are compared with the registered model's",
        at_least=1,
    )
    tolerance: float | None = setting(
        None,
        "Largest difference between logits, as a share of the largest logit",
        none="depends on --to and --values",
        above=0,
    )
    threads: int = setting(1, THREADS_HELP, at_least=1)

    def check(self) -> None:
        """Refuse a form that does not hold these values."""
        super().check()
        if self.values != "fp32" and self.form not in ("packed", "csr"):
            raise RpmaskError(
                f"--values {self.values} is for packed models and csr, not for '{self.form}'.",
                "Leave it out, or give --to packed.",
            )


@dataclass(frozen=True)
class BenchRequest(Checked):
    """The parameters of `bench`. seconds are spent on each shape."""

    source: str = CHAMPION
    grid: str = setting(
        "auto", "Input shapes BATCHxTOKENS, comma-separated; auto is 1x32,1x128,8x128"
    )
    threads: int = setting(1, THREADS_HELP, at_least=1)
    seconds: float = setting(5.0, "Seconds to spend on each shape", above=0)
