"""What tests of runs share."""

import pytest

from tests.runs.store import StandIn


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """Where the keys of the stand-in's bucket lie."""
    monkeypatch.setattr(StandIn, "FOLDER", tmp_path / "store", raising=False)
    (tmp_path / "store").mkdir()
    return tmp_path / "store" / "bucket"
