"""Most of these tests begin with a new store."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def _store_template(store_template: None) -> None:
    """Copy new SQLite stores from a template."""
