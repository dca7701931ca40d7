"""What the tests share: where the research data lie, and one BLAS thread so that runs repeat."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of the research data, or skip the test where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("STELLACUBE_SHARED") or default)
    if not (folder / "data").is_dir():
        pytest.skip("the research data (../shared/data, or STELLACUBE_SHARED) are not here")
    return folder
