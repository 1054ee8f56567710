"""The runs that one has made, best first: finished, unfinished and damaged ones, each in a row."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digit_recognizer.config import name_model
from digit_recognizer.errors import InputError
from digit_recognizer.evaluation.metrics import compute_accuracy_interval, evaluate
from digit_recognizer.io import is_claimed
from digit_recognizer.records import CONFIG, METRICS, Environment, TransferSummary, read_record
from digit_recognizer.training.run import (
    ENVIRONMENT,
    find_labels,
    format_resume_command,
    load_config,
    load_run,
    load_run_config,
)
from digit_recognizer.training.transfers import PREDICTIONS, load_transfer_predictions

if TYPE_CHECKING:
    import pandas as pd

FINISHED, RUNNING, UNFINISHED, DAMAGED = STATES = ("finished", "running", "unfinished", "damaged")
COLUMNS = {
    "name": "string",
    "model": "string",
    "seed": "Int64",
    "epochs": "Int64",
    "rows": "Int64",
    "accuracy": "float64",
    "low": "float64",
    "high": "float64",
    "seconds": "float64",
    "state": "string",
    "resume": "string",
    "note": "string",
    "folder": "string",
    "input_dir": "string",
}
# what a folder that has lost its config.json is recognized by
TRACES = (METRICS, "folds.npy", "environment.json", "oof_probabilities.npy", "state.safetensors")


def runs(folder: Path | str = "runs") -> "pd.DataFrame":
    """List the runs of a folder, the best first.

    Args:
        folder: the folder whose folders are runs.

    Returns:
        One row per run of cv, train, ensemble or transfer, the highest accuracy first. What is not known is missing.
        Columns: name of its folder, model, seed, epochs, rows (that were held out, and that the accuracy is of),
        accuracy and its 95 % interval from low to high (0 to 1), seconds (wall time), state (finished, running,
        unfinished or damaged), resume (the command that resumes an unfinished one), note (why its submission is
        ineligible, why its accuracy is unknown or means nothing, or what is damaged), folder (its path), input_dir (the
        folder of its data set; accuracies of different data sets cannot be compared).

    Raises:
        InputError: if there is no such folder; no `runs`, as before the first run, is an empty table.

    Example:
        >>> table = dr.runs("runs")
        >>> table.loc[table["state"] == "finished", "model"].tolist()
        ['dense', 'dense']
    """
    import pandas as pd

    folder = Path(folder).expanduser()
    if not folder.is_dir() and (folder.exists() or folder != Path("runs")):
        raise InputError("io.not_folder" if folder.exists() else "io.missing", path=folder)
    frame = pd.DataFrame(list(_read_folders(folder)), columns=list(COLUMNS)).astype(COLUMNS)
    return frame.sort_values(
        ["state", "accuracy", "name"],
        ascending=[True, False, True],
        ignore_index=True,
        key=lambda cells: cells.map(STATES.index) if cells.name == "state" else cells,
    )


def is_run(path: Path) -> bool:
    """Whether a folder is a run, finished or not; it need not exist."""
    return any((path / name).exists() for name in (CONFIG, *TRACES))


def _read_folders(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.iterdir()) if folder.exists() else ():
        row = {"name": path.name, "folder": path}
        try:
            if path.name.startswith(".") or not is_run(path):
                continue
            yield _clean({**row, **_read_run(path)})
        except (InputError, OSError) as error:
            yield _clean({**row, "state": DAMAGED, "note": error})


def _clean(row: dict[str, Any]) -> dict[str, Any]:
    """Columns in the types of the table; bytes of a path that are no text are escaped."""
    cleaned = dict(row)
    for name, value in row.items():
        if value is None:
            continue
        if COLUMNS[name] == "string":
            cleaned[name] = str(value).encode(errors="backslashreplace").decode()
    return cleaned


def _read_run(path: Path) -> dict[str, Any]:
    """The columns of one run.

    Raises:
        InputError: if one of its files is damaged.
    """
    config = load_config(path)
    subcommand = config.get("subcommand")
    row: dict[str, Any] = {"model": name_model(str(config.get("model", subcommand or "")))}
    row |= {name: config.get(name) for name in ("seed", "epochs", "input_dir")}
    if (path / METRICS).exists():
        return {**row, "state": FINISHED, **(_read_transfer if subcommand == "transfer" else _read_score)(path)}
    if is_claimed(path):
        return {**row, "state": RUNNING}
    row["state"] = UNFINISHED
    if subcommand not in ("cv", "train"):
        return {**row, "note": f"remove it and repeat: {config['command']}" if config.get("command") else None}
    if config.get("in_python"):  # its tables or its model are in no file
        return {**row, "note": f"repeat its call of cross_validate with run_dir={str(path)!r}"}
    try:
        load_run_config(path, subcommand)
        started = read_record(path / ENVIRONMENT, Environment) if (path / ENVIRONMENT).exists() else {}
    except InputError as error:  # of another version: that it can be resumed must not be promised
        return {**row, "note": str(error)}
    return {**row, "resume": format_resume_command(path, subcommand, executor_flags=tuple(started.get("executor", ())))}


def _read_score(path: Path) -> dict[str, Any]:
    run = load_run(path)
    labels, ineligible = find_labels(run), run.metrics["ineligible"]
    note = ineligible and f"ineligible: {ineligible}"
    found = {"rows": int(run.held_out.sum()), "seconds": run.metrics.get("elapsed_seconds"), "note": note}
    if labels is None:
        unknown = "its accuracy is unknown, because its train.csv is not at hand"
        return {**found, "note": note or (None if run.metrics["oof_accuracy"] is None else unknown)}
    score = evaluate(run.oof_probabilities, labels, run.fold_of_row)
    return {**found, "accuracy": score.oof_accuracy, **_name_ends(score.oof_accuracy_interval)}


def _read_transfer(path: Path) -> dict[str, Any]:
    metrics = read_record(path / METRICS, TransferSummary)
    found = {"seconds": metrics.get("elapsed_seconds"), "note": metrics.get("warning")}
    if not (path / PREDICTIONS).exists():  # none was held out
        return found
    table = load_transfer_predictions(path)
    right = int((table["label"] == table["predicted"]).sum())
    interval = compute_accuracy_interval(right, len(table))
    return {**found, "rows": len(table), "accuracy": right / len(table), **_name_ends(interval)}


def _name_ends(interval: tuple[float, float]) -> dict[str, float]:
    return dict(zip(("low", "high"), interval, strict=True))
