"""Arrays written as the CSV files that Kaggle would have sent: no quotes, LF, header first."""

from pathlib import Path

import numpy as np

from digit_recognizer.data.csv_header import PIXELS

ROWS_AT_ONCE = 4096  # bounds memory to a few MB and gives the progress bar its steps
BAR_DELAY_SECONDS = 1
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def guard_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula and runs: what begins like one gets an apostrophe."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def write_pixel_csv(path: Path, pixels: np.ndarray, labels: np.ndarray | None = None) -> None:
    """Write a train.csv (with labels) or test.csv (without).

    Args:
        path: the file to write, overwritten if it exists; callers write to a temporary place.
        pixels: uint8 (n, 784).
        labels: int (n,), 0 to 9, or None.
    """
    import pyarrow as pa
    import pyarrow.csv
    from tqdm import tqdm

    names = [f"pixel{k}" for k in range(PIXELS)]
    cells = pixels if labels is None else np.column_stack([labels.astype(np.uint8), pixels])
    schema = pa.schema([(name, pa.uint8()) for name in (names if labels is None else ["label", *names])])
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none", batch_size=ROWS_AT_ONCE)
    with (
        path.open("wb") as file,
        tqdm(total=len(cells), desc=path.name, unit=" rows", delay=BAR_DELAY_SECONDS, leave=False) as bar,
    ):
        file.write(",".join(schema.names).encode() + b"\n")
        with pyarrow.csv.CSVWriter(file, schema, write_options=options) as writer:
            for start in range(0, len(cells), ROWS_AT_ONCE):
                columns = np.ascontiguousarray(cells[start : start + ROWS_AT_ONCE].T)
                writer.write_batch(pa.record_batch([pa.array(column) for column in columns], schema=schema))
                bar.update(columns.shape[1])


def write_label_csv(path: Path, labels: np.ndarray) -> None:
    """Write `ImageId,Label` with ids 1 to n: a test_labels.csv, or with zeros a sample_submission.csv.

    Args:
        path: the file to write, overwritten if it exists.
        labels: int (n,), 0 to 9.
    """
    rows = [f"{number},{label}\n" for number, label in enumerate(labels.tolist(), 1)]
    path.write_text("ImageId,Label\n" + "".join(rows), encoding="utf-8", newline="\n")
