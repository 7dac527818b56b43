"""The code that MLflow runs to serve an export: a table of texts in, a table of answers out."""

from __future__ import annotations

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

import rpmask


class Served(PythonModel):
    """An export that MLflow's scoring server calls."""

    def load_context(self, context: Any) -> None:
        """Load the export, which checks every byte."""
        self._model = rpmask.load(context.artifacts["export"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """One answer for each row: label and score, or only the score of a regression."""
        rows = self._model.head.inputs.rows(model_input)
        return pd.DataFrame(self._model.predict(rows))


set_model(Served())
