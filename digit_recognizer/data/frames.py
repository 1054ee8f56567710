"""Tables from DataFrames and arrays: what a notebook has in place of CSV files, with the same checks as files.

Such a table has a hash too: that of the bytes which its CSV would have in Kaggle's form. So a DataFrame that pandas has
read from Kaggle's test.csv has the hash of that file, and a submission made from it is known to belong to it.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard, Union

import numpy as np

from digit_recognizer.data.csv import (
    CLASSES,
    IMAGE_SIDE_PX,
    PIXELS,
    ROW_INDEX_NAMES,
    UNSCALED_REMEDY,
    choose_names,
    describe_names,
)
from digit_recognizer.data.dataset import TestTable, TrainTable, load_test, load_train
from digit_recognizer.data.pixels import correct_pixels, scale_fractions
from digit_recognizer.errors import InputError, warn_caller

if TYPE_CHECKING:
    import pandas as pd

TableSource = Union[TestTable, "pd.DataFrame", np.ndarray, tuple[Any, Any], os.PathLike[str], str]
ROWS_AT_ONCE = 4096  # checked or hashed together, so that memory holds little beside the table


def read_train_table(source: TableSource) -> TrainTable:
    """Take a labelled table in any of its forms.

    Args:
        source: what `load_train` gives; the path of a train.csv; a DataFrame with the columns of a
            train.csv, by any of the names that a file may have; or a pair (images, labels). Images are an array
            (n, 784), (n, 28, 28), (n, 28, 28, 1) or (n, 1, 28, 28) of numbers from 0 = paper to 255 = ink, or a
            DataFrame of pixel columns, or a sparse matrix. Numbers of another range are scaled, with a note. Labels are
            whole numbers from 0 to 9.

    Raises:
        InputError: naming row (from 0) and column of the first fault.

    Example:
        >>> read_train_table((np.zeros((2, 28, 28)), [3, 8])).pixels.shape
        (2, 784)
    """
    if isinstance(source, TrainTable):
        return source
    if isinstance(source, (str, os.PathLike)):
        return load_train(Path(source).expanduser(), cache=True)
    if isinstance(source, (tuple, list)) and len(source) == 2:
        images, labels = source
        pixels, notes, scaled = _read_pixels(images, "train")
    elif _is_frame(source):
        columns, label, named = _arrange_columns(list(source.columns), "train", labelled=True)
        pixels, notes, scaled = _read_pixels(source[columns].to_numpy(), "train", columns)
        labels, notes = source[label], (*named, *notes)
    else:
        raise InputError("table.train_form", received=_describe(source))
    labels = _read_labels(labels, len(pixels))
    if (labels == labels[0]).all():
        raise InputError("data.one_class", path="train", received=labels[0])
    found = correct_pixels(pixels)
    mended, sha256 = (*scaled, *found.mended), hash_as_csv(pixels, labels)
    return TrainTable(found.pixels, sha256, Path("train"), (*notes, *mended, *found.doubts), mended, labels=labels)


def read_test_table(source: TableSource) -> TestTable:
    """Take a table without labels in any of its forms: as `read_train_table`, but images alone.

    Raises:
        InputError: as there, or if the table has labels.

    Example:
        >>> read_test_table(np.zeros((2, 784))).images.shape
        (2, 28, 28, 1)
    """
    if isinstance(source, TestTable) and not isinstance(source, TrainTable):
        return source
    if isinstance(source, (str, os.PathLike)):
        return load_test(Path(source).expanduser(), cache=True)
    if not (_is_frame(source) or _is_sparse(source) or isinstance(source, np.ndarray)):
        raise InputError("table.test_form", received=_describe(source))
    pixels, notes, scaled = _read_pixels(source, "test")
    found = correct_pixels(pixels)
    mended = (*scaled, *found.mended)
    return TestTable(found.pixels, hash_as_csv(pixels), Path("test"), (*notes, *mended, *found.doubts), mended)


def read_images(images: Any) -> np.ndarray:
    """Take images in any form, as `read_test_table` does, but without a hash.

    Returns:
        uint8 (n, 784).

    Raises:
        InputError: as there.

    Example:
        >>> read_images(np.full((1, 28, 28), 255.0)).max()
        np.uint8(255)
    """
    pixels, _, scaled = _read_pixels(images, "images")
    found = correct_pixels(pixels)
    for note in (*scaled, *found.mended, *found.doubts):
        warn_caller(note)
    return found.pixels


def hash_as_csv(pixels: np.ndarray, labels: np.ndarray | None = None) -> str:
    """The SHA-256 of a table's CSV in Kaggle's form: a header, LF at line ends, no quotes.

    Args:
        pixels: uint8 (n, 784).
        labels: int64 (n,), 0 to 9; None for a test table.
    """
    digest = hashlib.sha256(",".join(["label"] * (labels is not None) + [f"pixel{k}" for k in range(PIXELS)]).encode())
    digest.update(b"\n")
    texts = np.array([list(f"{value},".encode().ljust(4)) for value in range(256)], np.uint8)  # blanks are dropped
    for start in range(0, len(pixels), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        columns = pixels[rows] if labels is None else np.column_stack([labels[rows].astype(np.uint8), pixels[rows]])
        cells = texts[columns]
        cells[:, -1][cells[:, -1] == ord(",")] = ord("\n")
        digest.update(cells[cells != ord(" ")].tobytes())
    return digest.hexdigest()


def _is_frame(source: Any) -> TypeGuard["pd.DataFrame"]:
    """Whether this is a DataFrame, of pandas or of a library that is used alike; none is imported for the question."""
    return hasattr(source, "columns") and hasattr(source, "to_numpy")


def _is_sparse(source: Any) -> bool:
    """Whether this is SciPy's sparse matrix of images, as `sklearn.datasets.load_svmlight_file` gives MNIST."""
    return hasattr(source, "toarray") and np.shape(source)[1:] == (PIXELS,)


def _describe(source: Any) -> str:
    if isinstance(source, TestTable):
        return "a table with labels" if isinstance(source, TrainTable) else "a table without labels"
    return type(source).__name__


def _read_pixels(
    source: Any, name: str, columns: Sequence[Any] = ()
) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Pixels uint8 (n, 784), how they departed from Kaggle's form, and how they were scaled.

    `columns` are the names of an array's columns, for messages.
    """
    notes: tuple[str, ...] = ()
    if _is_frame(source) and list(source.columns) != list(range(PIXELS)):  # or an array's own numbers
        columns, _, notes = _arrange_columns(list(source.columns), name, labelled=False)
        source = source[columns].to_numpy()
    values = source.toarray() if _is_sparse(source) else np.asarray(source)
    if values.ndim == 4 and 1 in (values.shape[1], values.shape[3]):  # PyTorch's order or Keras'
        values = values[:, 0] if values.shape[1] == 1 else values[..., 0]
    if values.ndim == 3 and values.shape[1:] == (IMAGE_SIDE_PX, IMAGE_SIDE_PX):
        values = values.reshape(len(values), PIXELS)
    if values.ndim != 2 or values.shape[1] != PIXELS:
        raise InputError("table.shape", path=name, received=np.shape(source))
    if not len(values):
        raise InputError("table.no_rows", path=name)
    if values.dtype != np.uint8:
        numbers = _to_numbers(values) if values.dtype.kind == "O" else values
        if numbers.dtype.kind in "if" and (scaled := scale_fractions(numbers)):
            return scaled[0], notes, (scaled[1],)
        names = columns or [f"pixel{k}" for k in range(PIXELS)]
        values = _to_bytes(values, name, [str(column) for column in names])
    return np.ascontiguousarray(values), notes, ()


def _arrange_columns(names: list[Any], name: str, *, labelled: bool) -> tuple[list[Any], Any, tuple[str, ...]]:
    """The pixel columns in the order of the pixels, the label column (None without labels), and notes."""
    texts = [str(one) for one in names]
    form, label, expected = choose_names(texts)
    if labelled and label is None:
        raise InputError("table.missing_column", path=name, column="label", expected=PIXELS + 1)
    if not labelled and label is not None:
        raise InputError("table.extra_column", path=name, column=label, expected=PIXELS)
    if missing := [one for one in expected if one not in texts]:
        raise InputError("table.missing_column", path=name, column=missing[0], expected=len(expected))
    known = {*expected, *ROW_INDEX_NAMES}
    if extra := [one for n, one in enumerate(texts) if one not in known or one in texts[:n]]:
        raise InputError("table.extra_column", path=name, column=extra[0][:40], expected=len(expected))
    at = dict(zip(texts, names, strict=True))
    notes = describe_names(texts, form, label, expected)
    return [at[one] for one in expected[-PIXELS:]], None if label is None else at[label], tuple(notes)


def _to_bytes(values: np.ndarray, name: str, columns: list[str]) -> np.ndarray:
    """Numbers of any type (n, columns) as uint8, if all of them are whole and from 0 to 255."""
    result = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), ROWS_AT_ONCE):
        block = _to_numbers(values[start : start + ROWS_AT_ONCE])
        if not (valid := _find_valid(block, 255)).all():
            row, column = (int(place) for place in np.argwhere(~valid)[0])
            error = _refuse_cell("table.pixel_range", name, start + row, columns[column], values[start + row, column])
            negative = values.dtype.kind == "f" and values.min() < 0
            raise error.with_remedy(UNSCALED_REMEDY) if negative else error
        result[start : start + ROWS_AT_ONCE] = block
    return result


def _read_labels(labels: Any, row_count: int) -> np.ndarray:
    """Labels as int64 (n,), 0 to 9; text is read as numbers, as it is from a file: so has scikit-learn's mnist_784."""
    values = np.asarray(labels)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or len(values) != row_count:
        raise InputError("table.label_count", path="train", received=values.shape, expected=row_count)
    numbers = _to_numbers(values)
    if not (valid := _find_valid(numbers, CLASSES - 1)).all():
        row = int(np.argmin(valid))
        raise _refuse_cell("table.label_range", "train", row, "label", values[row])
    return numbers.astype(np.int64)


def _to_numbers(values: np.ndarray) -> np.ndarray:
    """The same values as numbers, NaN for what is none."""
    if values.dtype.kind in "biuf":
        return values
    import pandas as pd

    numbers = pd.to_numeric(pd.Series(values.ravel()), errors="coerce")
    return numbers.to_numpy(np.float64, na_value=np.nan).reshape(values.shape)


def _find_valid(numbers: np.ndarray, highest: int) -> np.ndarray:
    """Where numbers are whole and from 0 to `highest`; NaN is none."""
    whole = numbers == np.floor(numbers) if numbers.dtype.kind == "f" else True
    return (numbers >= 0) & (numbers <= highest) & whole


def _refuse_cell(code: str, name: str, row: int, column: str, value: Any) -> InputError:
    """The error about a cell that is empty (None, NaN or pandas' NA) or, by its code, wrong."""
    import pandas as pd

    empty = pd.api.types.is_scalar(value) and pd.isna(value)
    return InputError("table.empty_cell" if empty else code, path=name, line=row, column=column, received=_show(value))


def _show(value: Any) -> str:
    """A wrong value as Python would write it."""
    return repr(value.item() if isinstance(value, np.generic) else value)[:40]
