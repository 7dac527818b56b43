"""A model behind MLflow's scoring: a table of rows in, a table of answers out.

MLflow calls `_load_pyfunc` for a registered model whose answers no pipeline of transformers gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from rpmask.deploy.exported import Exported

MAX_LENGTH = "max_length"  # in the configuration of a registered model


class Answering:
    """A loaded model that MLflow calls."""

    def __init__(self, model: Exported) -> None:
        self._model = model

    def predict(self, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """One answer for each row."""
        import pandas as pd

        rows = self._model.head.inputs.rows(model_input)
        return pd.DataFrame(self._model.predict(rows))


def _load_pyfunc(path: str, model_config: Mapping[str, Any]) -> Answering:
    from rpmask.deploy.load import load

    return Answering(load(path, max_length=model_config[MAX_LENGTH]))
