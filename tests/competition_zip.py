"""The competition's zip, made up: its form, its numbers of rows, other digits."""

import zipfile
from pathlib import Path

import numpy as np

TRAIN_ROWS, TEST_ROWS = 42_000, 28_000


def write_competition_zip(
    path: Path, train_rows: int = TRAIN_ROWS, test_rows: int = TEST_ROWS, first: int = 0
) -> np.ndarray:
    """The competition's files in its form, with rows that differ; returns the test rows' labels, int64 (test_rows,).

    A row has a stripe that tells its class, and a pattern that tells it from every other row, here and in a zip of
    another `first`.
    """
    labels = np.arange(train_rows + test_rows) % 10
    cells = np.full((10, 700), "0", object)
    for label, row in enumerate(cells):
        row[28 * (2 * label + 2) : 28 * (2 * label + 4)] = "250"
    stripes, words = [",".join(row) for row in cells], np.arange(200).astype(str).astype(object)
    patterns = words[np.random.default_rng(first).integers(0, 200, (len(labels), 80))].tolist()
    lines = [f"{stripes[label]},{','.join(row)},0,0,0,0" for label, row in zip(labels.tolist(), patterns, strict=True)]
    names = ",".join(f"pixel{n}" for n in range(784))
    train = "".join(f"{label},{line}\n" for label, line in zip(labels, lines[:train_rows], strict=False))
    sample = "ImageId,Label\n" + "".join(f"{n},0\n" for n in range(1, test_rows + 1))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("train.csv", f"label,{names}\n{train}")
        archive.writestr("test.csv", f"{names}\n" + "\n".join(lines[train_rows:]) + "\n")
        archive.writestr("sample_submission.csv", sample)
    return labels[train_rows:]
