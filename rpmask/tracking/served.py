"""The code that MLflow runs to serve an export: a table of texts in, a table of answers out."""

from __future__ import annotations

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

import rpmask
from rpmask.tracking.answering import Answering


class Served(PythonModel):
    """An export that MLflow's scoring server calls."""

    def load_context(self, context: Any) -> None:
        """Load the export, which checks every byte."""
        self._answering = Answering(rpmask.load(context.artifacts["export"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """One answer for each row."""
        return self._answering.predict(model_input)


set_model(Served())
