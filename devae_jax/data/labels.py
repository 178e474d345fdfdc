"""Factors of images by number, of a full grid or of a table, and tables from the user's files."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from devae_jax.data import factors as fg
from devae_jax.names import unknown
from devae_jax.types import Dataset, FactorGrid, FactorTable

_SHOWN = 3  # names in a message


class Labels(NamedTuple):
    """What is known of the images of a data set, without nuisance factors.

    names: of the F factors
    continuous: bool [F]
    columns: where they are among all factors, int [F]
    grid, table: where the values come from, with all factors; one of them
    """

    names: tuple[str, ...]
    continuous: np.ndarray
    columns: np.ndarray
    grid: FactorGrid | None = None
    table: FactorTable | None = None

    def of(self, numbers: np.ndarray) -> np.ndarray:
        """Factors float64 [N, F] of the images with these numbers [N]."""
        if self.table is not None:
            return self.table.values[numbers][:, self.columns]
        assert self.grid is not None, "labels come from a grid or a table"
        points = np.stack(np.unravel_index(numbers, self.grid.sizes), 1)
        return points[:, self.columns].astype(np.float64)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of values of the discrete factors."""
        if self.grid is not None:
            return tuple(self.grid.sizes[column] for column in self.columns)
        assert self.table is not None, "labels come from a grid or a table"
        discrete = self.table.values[:, self.columns[~self.continuous]]
        return tuple(len(np.unique(column)) for column in discrete.T)


def labels_of(dataset: Dataset) -> Labels | None:
    """The factors of a data set that count; None without."""
    truth = dataset.grid or dataset.table
    if truth is None:
        return None
    columns = np.flatnonzero([name not in dataset.nuisance for name in truth.names])
    measured = np.zeros(len(truth.names), bool)
    if dataset.table is not None:
        measured = np.array(dataset.table.continuous, bool)
    names = tuple(truth.names[column] for column in columns)
    return Labels(names, measured[columns], columns, dataset.grid, dataset.table)


def table_of(
    values: Any, names: Sequence[str], where: str, continuous: Sequence[str] = ()
) -> FactorTable:
    """Factors [N, F] as a table, checked.

    A factor with a value that is no whole number is continuous, and so is one whose name is in
    `continuous`; all others are discrete.
    Raises ValueError, with `where` they come from, for other shapes and types, names that are
    repeated or do not fit, NaN and infinite values, and factors that do not vary at all.
    """
    values = np.asarray(values)
    if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "iufb":
        raise ValueError(
            f"got factors {values.dtype} {list(values.shape)} in {where}, expected numbers "
            "[images, factors]; convert them"
        )
    names = tuple(map(str, names))
    if len(set(names)) != values.shape[1] or len(names) != values.shape[1]:
        raise ValueError(
            f"got {len(set(names))} different factor names for {values.shape[1]} factors in "
            f"{where}, expected one each; fix factor_names"
        )
    for name in continuous:
        if name not in names:
            raise unknown("data.continuous", name, names)
    values = values.astype(np.float64)
    finite = np.isfinite(values)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise ValueError(
            f"got {(~finite).sum()} NaN or infinite factors in {where}, the first "
            f"{names[column]!r} of image {row}, expected numbers; fill them in or leave the "
            "images out"
        )
    if (np.ptp(values, axis=0) == 0).all():
        raise ValueError(
            f"got factors that never vary in {where}, expected one with two values or more; "
            "leave them out"
        )
    whole = (values == np.round(values)).all(0)
    measured = [not w or n in continuous for n, w in zip(names, whole, strict=True)]
    return FactorTable(names, values, tuple(measured))


def read_csv(path: Path, files: Sequence[str], continuous: Sequence[str] = ()) -> FactorTable:
    """The factors of `files`, [N] names, from a CSV with a column `file` and one a factor.

    Words are classes, numbered in alphabetic order. Rows may come in any order.
    Raises ValueError, with names, for a missing column, for files without a row or with two,
    rows without a file, empty cells, and what `table_of` refuses.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            rows, columns = list(reader), list(reader.fieldnames or ())
    except (csv.Error, OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"got unreadable {path} ({error}), expected comma-separated text; write it again"
        ) from error
    if "file" not in columns or len(columns) < 2:
        raise ValueError(
            f"got {path} with the columns {', '.join(columns) or 'none'}, expected 'file' and one "
            "a factor; name them in the first line"
        )
    by_file = {row["file"]: row for row in rows}
    missing = [name for name in files if name not in by_file]
    extra = sorted(by_file.keys() - set(files))
    for count, what, examples in (
        (len(missing), "images without a row", missing),
        (len(extra), "rows without an image", extra),
        (len(rows) - len(by_file), "images with more than one row", []),
    ):
        if count:
            first = f", such as {', '.join(map(str, examples[:_SHOWN]))}" if examples else ""
            raise ValueError(
                f"got {count} {what} in {path}{first}, expected one row an image; fix the file"
            )
    names = [name for name in columns if name != "file"]
    cells = [[by_file[name][column] for column in names] for name in files]
    for name, line in zip(files, cells, strict=True):
        if None in by_file[name] or None in line or "" in line:
            raise ValueError(
                f"got {path} with an empty or surplus cell in the row of {name}, expected "
                f"{len(names)} factors; fix the row"
            )
    values = np.stack([_numbers(np.array(column)) for column in zip(*cells, strict=True)], 1)
    return table_of(values, names, str(path), continuous)


def _numbers(words: np.ndarray) -> np.ndarray:
    """A column of text as numbers, or, where it has a word, as numbers of its classes."""
    try:
        return words.astype(np.float64)
    except ValueError:
        return np.unique(words, return_inverse=True)[1].astype(np.float64)


def with_factors(dataset: Dataset, table: FactorTable) -> Dataset:
    """A data set without factors, with those of its images.

    Discrete factors of which each combination occurs once are a full grid, and the images are
    put into its order.
    """
    note = {"factor_names": list(table.names), "continuous": list(table.continuous)}
    dataset = dataset._replace(identity={**dataset.identity, **note})
    ranks = [np.unique(column, return_inverse=True) for column in table.values.T]
    sizes = tuple(len(values) for values, _ in ranks)
    complete = np.prod(sizes, dtype=float) == dataset.size and min(sizes) > 1
    if any(table.continuous) or not complete:
        return dataset._replace(table=table)
    order = np.argsort(np.ravel_multi_index([rank for _, rank in ranks], sizes), kind="stable")
    if (
        np.stack([rank[order] for _, rank in ranks]) != np.indices(sizes).reshape(len(sizes), -1)
    ).any():
        return dataset._replace(table=table)
    return _in_order(dataset, FactorGrid(table.names, sizes), order)


def _in_order(dataset: Dataset, grid: FactorGrid, order: np.ndarray) -> Dataset:
    observe, read = dataset.observe, dataset.read
    if observe is not None:
        by_number, places = observe, jnp.asarray(order, jnp.int32)
        return dataset._replace(
            grid=grid,
            arrays=(dataset.arrays, places),
            observe=lambda arrays, points: by_number(
                arrays[0], arrays[1][fg.to_index(grid, points)]
            ),
        )
    assert read is not None, f"{dataset.name} has neither observe nor read"
    return dataset._replace(grid=grid, read=lambda number: read(int(order[number])))
