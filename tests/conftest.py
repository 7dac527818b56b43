"""Tests run offline, on the CPU, and leave the user's folders alone."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
if os.environ.get("RPMASK_TEST_GPU") != "1":  # RPMASK_TEST_GPU=1 pytest -m gpu
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ.pop("MLFLOW_TRACKING_URI", None)
os.environ.pop("MLFLOW_RUN_ID", None)
