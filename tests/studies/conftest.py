"""What tests of studies share: rows of a study, and a `make` that trains nothing."""

import pytest

from devae_jax.studies import make, rows
from tests.studies.test_rows import opened, trained


@pytest.fixture
def figure2(tmp_path):
    """A file of rows of DynamicVAE and DeVAE on the first data set, as figure 2 leaves it."""
    study = opened(tmp_path / "figure2", "figure2")
    for number in (2, 3):
        trained(study, number)
    rows.write(study, rows.collect(study).rows)
    return study.path / "rows.jsonl"


@pytest.fixture
def began(monkeypatch):
    """The programs that `make` would train, by name, in order; none is."""
    names = []

    def drain(sweep, numbers, **options):
        assert (sweep.path / "rows.jsonl").exists()  # what was given is kept before all else
        names.extend(sweep.programs[number].name for number in numbers)
        return {}

    monkeypatch.setattr(make, "drain", drain)
    return names
