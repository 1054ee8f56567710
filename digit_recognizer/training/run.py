"""Run folders: what a run leaves behind, its result, how both are written, and how they are read again.

runs/<time>-<model>/
    config.json               every field of the configuration, and the command
    environment.json          versions, machine, commit, precision: what resuming compares; flags of the executor
    folds.npy                 int16 (n,): the fold in which each row was held out; -1 for never (`train`)
    labels.npy                int8 (n,): the labels of the rows, by which the probabilities are scored when read again
    history.csv               one line per fold and epoch: fold, epoch, loss, accuracy, val_loss, …, lr, seconds
    oof_probabilities.npy     float32 (n, classes), calibrated; NaN in rows that were never held out (`train`)
    test_probabilities.npy    float32 (m, classes), calibrated mean over the models submitted: the folds' or the refits
    metrics.json              the score, its interval, hashes of the data, seconds, names of classes other than digits
    models/fold<k>.safetensors  the weights of the trained models; of those fitted on all rows: refit<k>
    models/fold<k>.keras      a copy of each for people who want plain Keras
    log.txt                   what was printed
    .lock                     empty; held by the process at work, it keeps a second one out

`ensemble` leaves config.json, folds.npy (0 or -1), labels.npy, both arrays of probabilities (float64 of a vote),
metrics.json and log.txt.
A run of a model's file has a copy of it, which config.json names and from then on the run uses. `train` adds
learning_curves.png, `--tensorboard` a folder tensorboard/ of event files, and MLflow, where it is in use,
mlflow.json with the run's id there. A run under way also has state.safetensors and the generation before it (see
`digit_recognizer.training.checkpoint`).
"""

import contextlib
import io
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from digit_recognizer.competition.submissions import (
    RUNS,
    Provenance,
    check_new_submission_path,
    format_command_line,
    remove_submission,
    write_submission,
)
from digit_recognizer.config import UPPER_BOUNDS, RunConfig, name_model
from digit_recognizer.console import (
    clean_lines,
    format_command,
    format_seconds,
    print_line,
    raise_if_interrupted,
    show_as_text,
)
from digit_recognizer.data.csv import CLASSES
from digit_recognizer.data.dataset import load_train
from digit_recognizer.data.labels import DIGITS, LabelSet, parse_label_set
from digit_recognizer.data.splits import draw_stratified_rows
from digit_recognizer.errors import LOGGER, InputError, reraise_as_unusable_run
from digit_recognizer.evaluation.metrics import UNKNOWN_SCORE, Score, evaluate
from digit_recognizer.io import (
    LOCK,
    TEMPORARY,
    claim_folder,
    load_npy,
    make_folder,
    make_free_folder,
    read_bytes,
    remove_claimed,
    sweep_temporaries,
    write_atomically,
    write_csv,
    write_json,
    write_npy,
    write_text,
)
from digit_recognizer.records import CONFIG, METRICS, Config, Environment, RunMetrics, read_record

if TYPE_CHECKING:
    import pandas

    from digit_recognizer.training.checkpoint import RunState

LOG, HISTORY, ENVIRONMENT = "log.txt", "history.csv", "environment.json"
FOLDS, LABELS = "folds.npy", "labels.npy"
IN_PYTHON = "in_python"  # key in the config.json of runs that a Python call started; its value is `Run.needs_call`
HISTORY_COLUMNS = (  # of history.csv, after fold and epoch (from 1)
    *("loss", "accuracy", "val_loss", "val_accuracy", "holdout_loss", "holdout_accuracy"),
    *("lr", "seconds"),
)
ENSEMBLE = "ensemble"  # the command and the model of a run that combines others
LABEL_SET = "classes"  # in metrics.json, the names of the classes; digits have no such entry
SUM_TOLERANCE = 0.01  # float16 rounds each of ten probabilities by up to 5e-4
MAX_HISTORY_BYTES = 1 << 24  # a thousand epochs of ten folds have 1 MB


class Run:
    """A run folder that this process alone writes. Make one with `create` or `reopen`, and close it at the end.

    Attributes:
        path: the folder.
        subcommand: what fills it: cv, train, ensemble or transfer.
        command: the command line, or the call, that started it.
        is_call: whether a call from Python started it.
        needs_call: whether only the same call can resume it, because its tables or its model are in no file.
        is_new: whether its folder was made for it.
        submission: the file named for it; None if none was.
        executor_flags: that name its executor on the command line.
        state: what is finished so far, as the checkpoint holds it; set before anything is trained.

    Example:
        >>> with Run.create(RunConfig(run_dir=Path("runs/mine")), "cv") as run:   # doctest: +SKIP
        ...     run.log("training starts")
    """

    state: "RunState"

    def __init__(self, path: Path, subcommand: str = "cv", command: str = "", lock: FileLock | None = None) -> None:
        self.path, self.subcommand, self.command, self.lock = path, subcommand, command, lock
        self.is_call = self.needs_call = self.is_new = False
        self.submission: Path | None = None
        self.executor_flags: tuple[str, ...] = ()
        self.started, self.earlier_seconds = time.perf_counter(), 0.0
        log = path / LOG
        self._log_text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""

    @classmethod
    def create(cls, config: Any, subcommand: str, call: str | None = None, *, needs_call: bool = False) -> "Run":
        """Make the folder, before anything that takes time.

        Args:
            config: a `RunConfig`, or another with `model`, `run_dir` and `to_json`.
            subcommand: what fills it: cv, train, ensemble or transfer.
            call: the call from Python that starts it, as one types it; None for the command that is running.
            needs_call: whether only the same call can resume it.

        Raises:
            InputError: if it cannot be made, or is not empty.
        """
        path = config.run_dir or RUNS
        is_new = config.run_dir is None or not os.path.lexists(path)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(make_folder(config.run_dir.parent if config.run_dir else RUNS))
                name = f"{time.strftime('%Y%m%d-%H%M%S')}-{name_model(config.model)}"
                path = config.run_dir or make_free_folder(path, name)
                path.mkdir(exist_ok=True)
            except OSError as error:
                if os.path.lexists(path) and not path.is_dir():
                    raise InputError("run.folder_is_a_file", path=path) from None
                raise InputError("run.folder_unwritable", path=path, reason=error.strerror) from error
            lock = None if _find_content(path) else claim_folder(path)
            # looked for again under the lock: of two runs that find the folder empty, one gets it
            if subcommand in ("cv", "train") and (path / CONFIG).exists():  # those resume what is there
                raise InputError("run.exists", path=path)
            if (taken := _find_content(path)) is not None:
                raise InputError("run.folder_not_empty", path=path, received=taken)
            run = cls(path, subcommand, call or format_command_line(), lock)
            run.is_call, run.needs_call, run.is_new = bool(call), needs_call, is_new
            run.submission = config.submission if isinstance(config, RunConfig) else None
            try:
                run._write_config(config)
            except BaseException:  # a full disk: a folder without a configuration says nothing
                if is_new:
                    remove_claimed(path)
                raise
        return run

    def _write_config(self, config: Any) -> None:
        """Write config.json, and a copy of the model's file if it is the user's own."""
        settings = config.to_json()
        if config.model.endswith(".py"):
            settings["model"] = Path(config.model).name
            with write_atomically(self.path / settings["model"]) as temporary:
                temporary.write_bytes(Path(config.model).read_bytes())
        if self.is_call:  # an older version's run folder has no such entry, nor has that of a command
            settings[IN_PYTHON] = self.needs_call
        write_json(self.path / CONFIG, {"subcommand": self.subcommand, "command": self.command, **settings})

    @classmethod
    def reopen(cls, path: Path, subcommand: str) -> tuple["Run", RunConfig]:
        """Open the folder of a run that was interrupted, or has finished.

        Args:
            path: the folder.
            subcommand: the command that resumes it, cv or train.

        Raises:
            UnusableRunError: if there is no run in it, another command started it, or its configuration cannot be read.
            InputError: if another process is at work in it.
        """
        with reraise_as_unusable_run():
            content = load_config(path, subcommand)
            config, command = load_run_config(path, subcommand)
        lock = claim_folder(path)
        for folder in (path, path / "models"):
            sweep_temporaries(folder)
        run = cls(path, subcommand, command, lock)
        run.submission = config.submission
        run.is_call, run.needs_call = IN_PYTHON in content, content.get(IN_PYTHON) is True
        return run, config

    def __enter__(self) -> "Run":
        self._defects = _DefectLog(self)
        LOGGER.addHandler(self._defects)
        if self.lock is not None and not self.lock.is_locked:
            self.log(f"note: {self.path} is on a file system without locks. Let one command at a time work there")
        return self

    def __exit__(self, *_: object) -> None:
        LOGGER.removeHandler(self._defects)
        if self.lock is not None:
            self.lock.release()

    @contextlib.contextmanager
    def removed_on_failure(self) -> Iterator[None]:
        """Inside, what fails or is interrupted leaves no folder: for work that is not resumed but repeated."""
        try:
            yield
        except BaseException:
            if self.is_new:
                remove_claimed(self.path)
            raise

    @property
    def elapsed_seconds(self) -> float:
        """Wall time over all sessions."""
        return self.earlier_seconds + time.perf_counter() - self.started

    @property
    def resume_command(self) -> str:
        """What to type in order to resume the run."""
        if self.needs_call:
            return f"the same call of cross_validate with run_dir={str(self.path)!r}"
        return format_resume_command(self.path, self.subcommand, self.submission, self.executor_flags)

    def save_checkpoint(self) -> None:
        """Write the checkpoint: what is finished, and the training of the folds under way."""
        from digit_recognizer.training.checkpoint import save_checkpoint

        self.state.elapsed_seconds = self.elapsed_seconds
        save_checkpoint(self.path, self.state)
        raise_if_interrupted()

    def log(self, text: str) -> None:
        """Print a line, and keep it in log.txt."""
        print_line(text)
        self.append_log(text)

    def append_log(self, text: str) -> None:
        """Add a text to log.txt without printing it."""
        self._log_text += clean_lines(text) + "\n"
        write_text(self.path / LOG, self._log_text)

    def write_array(self, name: str, array: np.ndarray) -> None:
        """Write `<name>.npy`."""
        write_npy(self.path / f"{name}.npy", array)

    def write_history(self, history: list[dict[str, Any]]) -> None:
        """Write history.csv; a column that an epoch lacks stays empty."""
        import pandas as pd

        write_csv(self.path / HISTORY, pd.DataFrame(history))


class _DefectLog(logging.Handler):
    """Keeps the tracebacks of unforeseen errors, which did not end the run, in its log.txt."""

    def __init__(self, run: Run) -> None:
        super().__init__(logging.ERROR)
        self.run = run

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(InputError):  # a full disk ends the run where it matters
            self.run.append_log(self.format(record))


def format_resume_command(
    path: Path, subcommand: str, submission: Path | None = None, executor_flags: tuple[str, ...] = ()
) -> str:
    """What to type in order to resume a run of cv or train, with the submission and executor that were named for it."""
    place = ["--submission", submission] if submission else []
    return format_command(subcommand, "--resume", path, *place, *executor_flags)


def format_next_command(path: Path) -> str:
    """What to type after a run has finished: the whole run, its score, its submission, or what shows more of it.

    Raises:
        InputError: if it has not finished.
    """
    config, metrics = load_config(path), load_metrics(path)
    folder = find_input_dir(path)
    place = [] if folder == Path("input") else ["--input-dir", folder]
    if config.get("smoke") or config.get("limit_train"):  # part of the rows
        refit = ["--refit", config["refit"]] if config.get("refit") else []
        return format_command(config["subcommand"], "--model", locate_model(path, config["model"]), *refit, *place)
    submission = metrics.get("submission")
    if submission is None or metrics["ineligible"] is not None or config.get("subcommand") == "train":
        return format_command("report", path)
    if os.path.exists(folder / "test_labels.csv"):  # noqa: PTH110 (Path.exists raises at a name that is too long)
        return format_command("score", submission, *place)
    return format_command("submit", submission, "-m", Path(submission).stem, *place)


@dataclass(frozen=True)
class FinishedRun:
    """A run folder read again; arrays as in the module's docstring. `labels` is None in a folder of version 0.2."""

    path: Path
    metrics: dict[str, Any]
    oof_probabilities: np.ndarray
    test_probabilities: np.ndarray
    fold_of_row: np.ndarray
    labels: np.ndarray | None

    @property
    def label_set(self) -> LabelSet:
        """What the run's classes are called.

        Raises:
            InputError: if metrics.json has class names that cannot be read.
        """
        return read_label_set(self.path, self.metrics)

    @property
    def held_out(self) -> np.ndarray:
        """Bool (n,): the rows that a model which was not trained on them predicted."""
        return self.fold_of_row >= 0


def read_label_set(path: Path, metrics: dict[str, Any]) -> LabelSet:
    """What the classes of a run are called, by its metrics.json."""
    content = metrics.get(LABEL_SET)
    return DIGITS if content is None else parse_label_set(content, path / METRICS)


def load_run(path: Path) -> FinishedRun:
    """Read a finished run: this is how every command gets its probabilities.

    Raises:
        InputError: if `path` is no run folder, its run has not finished, or one of its files is damaged.
    """
    metrics = load_metrics(path)
    oof, test = (_load_probabilities(path / f"{name}_probabilities.npy") for name in ("oof", "test"))
    rows, held_out = len(oof), np.isfinite(oof).all(axis=1)
    folds = _load_whole_numbers(path / FOLDS, "run.folds", rows, UPPER_BOUNDS["folds"])
    if (folds[held_out] < 0).any():
        raise InputError("run.folds", path=path / FOLDS, received="no fold of a row that was held out", rows=rows)
    labels = None
    if os.path.lexists(path / LABELS):
        labels = _load_whole_numbers(path / LABELS, "run.labels", rows, CLASSES - 1)
        if (labels < 0).any():
            raise InputError("run.labels", path=path / LABELS, received=int(labels.min()), rows=rows)
    return FinishedRun(path, metrics, oof, test, np.where(held_out, folds, -1), labels)


def find_labels(run: FinishedRun) -> np.ndarray | None:
    """The labels of a run's rows, int64 (n,): of its folder or, in version 0.2, of its train.csv; None if unknown."""
    if not run.held_out.any():  # an ensemble with submissions of others
        return None
    if run.labels is not None:
        return run.labels
    try:
        train = load_train(find_input_dir(run.path) / "train.csv", cache=True)
    except InputError:
        return None
    if train.sha256 != run.metrics["train_sha256"] or len(run.held_out) > len(train.labels):
        return None
    drawn, _ = draw_stratified_rows(train.labels, len(run.held_out), seed=0)  # as `make_dataset` does
    return train.labels if len(run.held_out) == len(train.labels) else train.labels[drawn]


def load_metrics(path: Path) -> dict[str, Any]:
    """Read the metrics.json of a finished run.

    Raises:
        InputError: if `path` is no run folder of cv, train or ensemble, its run has not finished, or an entry is
            missing or wrong.
    """
    config = load_config(path)
    if not os.path.lexists(path / METRICS):
        raise InputError("run.unfinished", path=path)
    if config.get("subcommand") == "transfer":
        raise InputError("run.other_command", path=path, received="transfer", expected="cv or train")
    return read_record(path / METRICS, RunMetrics)


def load_config(path: Path, *subcommands: str) -> dict[str, Any]:
    """Read the config.json of a run folder.

    Raises:
        InputError: if `path` is no run folder, or none of `subcommands`, where some are named, started it.
    """
    if not os.path.lexists(path / CONFIG):
        raise InputError("run.no_run", path=path)
    content = read_record(path / CONFIG, Config)
    if subcommands and content.get("subcommand") not in subcommands:
        started_by, expected = content.get("subcommand", "another version"), " or ".join(subcommands)
        raise InputError("run.other_command", path=path, received=started_by, expected=expected)
    return content


def load_run_config(path: Path, *subcommands: str) -> tuple[RunConfig, str]:
    """The configuration of a run of `cv` or `train`, and the command line that started it.

    Raises:
        InputError: as `load_config`, or if it is no configuration of this version.
    """
    content = load_config(path, *subcommands)
    settings = {k: v for k, v in content.items() if k not in ("subcommand", "command", IN_PYTHON)}
    try:
        config = RunConfig.from_json(settings)
    except InputError as error:
        raise InputError("run.no_configuration", path=path / CONFIG, reason=error) from error
    return config.replace(model=locate_model(path, config.model)), content.get("command", "")


def locate_model(path: Path, model: str) -> str:
    """The model of a run as its configuration names it; of a model's file, the copy in the run's folder."""
    return str(path.absolute() / Path(model).name) if model.endswith(".py") else model


def find_fold_weights(path: Path, fold: int) -> Path:
    """The path of a fold's weights, whether they are there or not; folds count from 0."""
    return path / "models" / f"fold{fold}.safetensors"


def find_weights(path: Path, fold: int, config: RunConfig) -> Path:
    """The path of a model's weights, of a fold or of a refit; refits are numbered after the folds."""
    if fold < config.folds:
        return find_fold_weights(path, fold)
    return path / "models" / f"refit{fold - config.folds}.safetensors"


def find_input_dir(*paths: Path) -> Path:
    """The input folder named in the first run's config.json; else input/. Tables there are only read."""
    for path in paths:
        if (path / CONFIG).is_file() and (named := load_config(path).get("input_dir")) is not None:
            return Path(named)
    return Path("input")


def load_history(path: Path) -> "pandas.DataFrame":
    """The history of a run as a table; see the module's docstring for its columns.

    Raises:
        InputError: if there is none, or it is longer than 16 MiB or no table.
    """
    import pandas as pd

    content = read_bytes(path / HISTORY, MAX_HISTORY_BYTES)
    try:
        return pd.read_csv(io.BytesIO(content))
    except ValueError as error:  # pandas' own errors too
        raise InputError("report.history", path=path / HISTORY, received=" ".join(str(error).split())) from error


def _load_probabilities(path: Path) -> np.ndarray:
    """Read probabilities, float (n, 10), rows of which sum to 1; out of fold a row may be NaN: it was never held out.

    Raises:
        InputError: naming the first row at fault.
    """
    array = load_npy(path)
    if array.ndim != 2 or array.dtype.kind != "f":
        raise InputError("run.no_probabilities", path=path, received=f"{array.dtype} {array.shape}")
    check_probabilities(path, array, may_lack_rows=path.name.startswith("oof"))
    return array


def check_probabilities(path: Path, probabilities: np.ndarray, may_lack_rows: bool = False) -> None:
    """Refuse probabilities that are not float (n, 10) with rows that sum to 1.

    Args:
        path: where they were saved; named in the error.
        probabilities: as read.
        may_lack_rows: whether a row may be all NaN, as an out-of-fold row is that was never held out.

    Raises:
        InputError: naming the first row at fault.
    """
    if probabilities.shape[1] != CLASSES:
        raise InputError("evaluation.class_count", path=path, received=probabilities.shape[1], classes=CLASSES)
    missing = np.isnan(probabilities).all(axis=1)
    if not np.isfinite(probabilities[~missing]).all() or (missing.any() and not may_lack_rows):
        raise InputError("evaluation.nan", path=path)
    sums = np.where(missing, 1, probabilities.sum(axis=1, dtype=np.float64))
    wrong = np.flatnonzero((probabilities < 0).any(axis=1) | (np.abs(sums - 1) > SUM_TOLERANCE))
    if len(wrong):
        received = f"{sums[wrong[0]]:.3g}"
        raise InputError("evaluation.probability_sum", path=path, line=int(wrong[0]) + 1, received=received)


def _load_whole_numbers(path: Path, code: str, rows: int, highest: int) -> np.ndarray:
    """Read one whole number per row, -1 to `highest`, as int64."""
    array = load_npy(path)
    if array.dtype.kind not in "iu" or array.shape != (rows,):
        raise InputError(code, path=path, received=f"{array.dtype} {array.shape}", rows=rows)
    if rows and not -1 <= int(array.min()) <= int(array.max()) <= highest:
        raise InputError(code, path=path, received=f"{array.min()} to {array.max()}", rows=rows)
    return array.astype(np.int64)


def _find_content(folder: Path) -> str | None:
    """The name of something in a folder; the lock and what a killed writer left do not count."""
    return next((f.name for f in folder.iterdir() if f.name != LOCK and not f.name.startswith(TEMPORARY)), None)


# The result of a run: as an object, as the table that ends it, and as metrics.json


@dataclass(frozen=True)
class CVResult:
    """What cross-validation, or `train`, found and left; `str` gives the table for the screen.

    Where a run folder is taken (`compare`, `ensemble`, `predict`), this object is taken too.

    Attributes:
        score: of the out-of-fold probabilities.
        oof_probabilities: float32 (n, classes); NaN in rows that were never held out.
        test_probabilities: float32 (m, classes), calibrated mean over the fold models, or over those fitted on all
            rows if there are any; m = 0 without a test table.
        elapsed_seconds: wall time, data and predictions included, Keras' import not.
        training_seconds: wall time of training alone.
        run_dir: the run folder.
        submission_path: the file written; None if test rows were left out, or there are none.
        ineligible: why the submission must not enter the competition; None if it may.
        single_split: whether only one fold was held out (`train`).
        untrained_accuracy: of that model on the holdout before its first step; None of a cross-validation.
        labels: int64 (n,) of the training rows; None of a run that was read without its data.
        refit: how many models fitted on all rows make the submission; 0: the folds' models make it.
        temperature: what the logarithms of the test probabilities were divided by, to calibrate them (those out of fold
            by temperatures of other rows, see `calibrate`); 1 of an older run.

    Example:
        >>> result = dr.cross_validate("dense", "input/train.csv", "input/test.csv", folds=2, epochs=1)
        >>> result.oof.columns[:4].tolist(), len(result.history), result.submission().columns.tolist()
        (['label', 'prediction', 'p0', 'p1'], 2, ['ImageId', 'Label'])
    """

    score: Score
    oof_probabilities: np.ndarray = field(repr=False)
    test_probabilities: np.ndarray = field(repr=False)
    elapsed_seconds: float
    training_seconds: float
    run_dir: Path
    submission_path: Path | None
    ineligible: str | None
    single_split: bool = False
    untrained_accuracy: float | None = None
    labels: np.ndarray | None = field(default=None, repr=False)
    refit: int = 0
    temperature: float = 1.0

    _repr_pretty_ = show_as_text

    def __fspath__(self) -> str:
        return str(self.run_dir)

    def __str__(self) -> str:
        return f"{format_result(self)[1:]}\n  {'run folder':<28}{self.run_dir}"

    @property
    def oof(self) -> "pandas.DataFrame":
        """The rows that were held out, by their number: label (where it is known), prediction, p0 to p9, fold."""
        import pandas as pd

        held_out = np.flatnonzero(~np.isnan(self.oof_probabilities).all(axis=1))
        probabilities = self.oof_probabilities[held_out]
        frame = pd.DataFrame(probabilities, index=held_out, columns=[f"p{k}" for k in range(probabilities.shape[1])])
        frame.insert(0, "prediction", probabilities.argmax(axis=1))
        if self.labels is not None:
            frame.insert(0, "label", self.labels[held_out])
        return frame.assign(fold=load_npy(self.run_dir / FOLDS)[held_out])

    @property
    def history(self) -> "pandas.DataFrame":
        """The epochs of all folds: fold, epoch (from 1), loss, accuracy, lr, seconds, and val_… of rows evaluated."""
        return load_history(self.run_dir)

    def submission(self) -> "pandas.DataFrame":
        """The labels of the test rows, as Kaggle takes them: ImageId from 1, Label 0 to 9.

        Raises:
            InputError: if there was no test table, or only a part of it was predicted.
        """
        import pandas as pd

        if self.submission_path is None:
            raise InputError("run.no_submission", path=self.run_dir)
        labels = self.test_probabilities.argmax(axis=1)
        return pd.DataFrame({"ImageId": np.arange(1, len(labels) + 1), "Label": labels})

    def write_submission(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write the submission, and beside it its provenance, `<path>.json`.

        Args:
            path: a name that ends in .csv.
            overwrite: whether a file that is there already is replaced.

        Returns:
            The path.

        Raises:
            InputError: if the file exists, cannot be written, or there is no submission.
        """
        labels, path = self.submission()["Label"].to_numpy(), Path(path).expanduser()
        if overwrite:
            remove_submission(path)
        check_new_submission_path(path, None, "path")
        write_submission(path, labels, len(labels), read_run_provenance(self.run_dir))
        return path


def read_run_provenance(path: Path) -> Provenance:
    """The provenance of what a finished run predicts.

    Raises:
        InputError: if the run has not finished, or its files are damaged.
    """
    commit = read_record(path / ENVIRONMENT, Environment)["commit"]
    return make_provenance(path, load_config(path, "cv", "train").get("command", ""), commit, load_metrics(path))


def make_provenance(path: Path, command: str, commit: str | None, metrics: dict[str, Any]) -> Provenance:
    """The provenance of what a run predicts, from the content of its metrics.json."""
    copied = ("train_sha256", "test_sha256", "oof_accuracy", "ineligible")
    values = {name: metrics[name] for name in copied}
    model = str(metrics.get("model"))
    if refit := metrics.get("refit"):
        model += f" ({refit} fitted on all rows; accuracy of others in folds)"
    return Provenance(model=model, command=command, commit=commit, run=str(path), **values)


def format_result(result: CVResult) -> str:
    """The table that ends a run."""
    score = result.score
    low, high = score.oof_accuracy_interval
    rows = []
    if len(score.fold_accuracies) > 1:
        rows += [(f"fold {fold} accuracy", f"{accuracy:.5f}") for fold, accuracy in enumerate(score.fold_accuracies)]
    name = "held-out accuracy" if result.single_split else "out-of-fold accuracy"
    accuracy = f"{score.oof_accuracy:.5f}  (95 % interval {low:.5f} to {high:.5f})"
    rows.append((name, accuracy if score.is_known else "unknown, because its training labels are not at hand"))
    if result.untrained_accuracy is not None:
        rows.append(("before training", f"{result.untrained_accuracy:.5f}"))
    seconds = f"{format_seconds(result.elapsed_seconds)}, training {format_seconds(result.training_seconds)}"
    reason = "not all test rows were predicted" if len(result.test_probabilities) else "there is no test table"
    if score.is_known:
        rows.append(("expected calibration error", f"{score.calibration_error:.5f}"))
        rows.append(("most frequent confusion", str(score.confusion)))
    rows += [
        ("time", seconds),
        ("submission", str(result.submission_path or f"none, because {reason}")),
    ]
    if result.refit:
        models = "model" if result.refit == 1 else "models"
        held_out = "the model that held rows out" if result.single_split else "the folds' models"
        rows.append(("predicted by", f"{result.refit} {models} fitted on all rows; the accuracy is of {held_out}"))
    if result.ineligible:
        rows.append(("INELIGIBLE", result.ineligible))
    return "\n" + "\n".join(f"  {name:<28}{value}" for name, value in rows)


def read_result(run: FinishedRun, labels: np.ndarray | None = None) -> CVResult:
    """The result that a finished run had, with the score that its probabilities have.

    Args:
        run: as read.
        labels: of its training rows, if they are at hand; None takes those in its folder.

    Raises:
        InputError: if its metrics.json was not written by a run of this version, or `labels` are of other rows.
    """
    labels, metrics, held_out = run.labels if labels is None else labels, run.metrics, run.held_out
    if labels is not None and len(labels) != len(held_out):
        raise InputError("run.labels", path=run.path, received=f"{len(labels)} labels", rows=len(held_out))
    score = UNKNOWN_SCORE
    if labels is not None and held_out.any():
        score = evaluate(run.oof_probabilities, labels, run.fold_of_row, run.label_set.names)
    for name in ("elapsed_seconds", "training_seconds"):
        if name not in metrics:
            raise InputError("run.metric_missing", path=run.path / METRICS, column=name)
    return CVResult(
        score=score,
        oof_probabilities=run.oof_probabilities,
        test_probabilities=run.test_probabilities,
        elapsed_seconds=metrics["elapsed_seconds"],
        training_seconds=metrics["training_seconds"],
        run_dir=run.path,
        submission_path=Path(metrics["submission"]) if metrics.get("submission") else None,
        ineligible=metrics["ineligible"],
        single_split=metrics.get("single_split", False),
        untrained_accuracy=metrics.get("untrained_accuracy"),
        labels=labels,
        refit=metrics.get("refit", 0),
        temperature=metrics.get("temperature", 1.0),
    )
