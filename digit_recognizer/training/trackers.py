"""Trackers: what a run tells, epoch by epoch, to programs that draw the curves of many runs.

TensorBoard's event files are written where `--tensorboard` asks for them, and an MLflow server or database is told
where its standard variable MLFLOW_TRACKING_URI names one. Neither changes a number of the run, and neither package is
imported otherwise. A tracker is fed with rows of the history, so that it is all one where they were fitted.

A tracker that fails before the first epoch stops the command, since its address is probably wrong; one that fails later
costs a warning, and is then left alone.
"""

import contextlib
import os
import re
import socket
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from digit_recognizer.config import RunConfig
from digit_recognizer.errors import InputError, LostError, PrunedError, WriteError
from digit_recognizer.io import read_json, write_json
from digit_recognizer.training.run import Run

# Event files for TensorBoard, written by its own package: no TensorFlow, no thread, each epoch on the disk at once.
#
# Each fold is a curve of its own in TensorBoard, a folder `fold<k>` beside the file of the whole run, which also bears
# the settings as TensorBoard's table of hyperparameters takes them. A run that goes on has its files written anew from
# its history: each epoch is in them once, whenever the run was stopped.

EVENTS = "events.out.tfevents"  # TensorBoard knows its files by this


def check_tensorboard() -> None:
    """Find out whether TensorBoard's package is installed.

    Raises:
        InputError: if it is not.
    """
    try:
        import tensorboard.summary.writer.record_writer  # noqa: F401  # a folder `tensorboard` here has no such module
    except ImportError as error:
        package = (error.name or "tensorboard").partition(".")[0]
        raise InputError(
            f"--tensorboard needs {package}, which is not installed: pip install -e '.[trackers]'."
        ) from error


class TensorBoardTracker:
    """Writes the event files of one run; a `Tracker`.

    Args:
        folder: where they go; those of an earlier sitting are removed.
        settings: of the run.
        words: what else is known at its start.

    Raises:
        InputError: if they cannot be written.
    """

    name = "TensorBoard"

    def __init__(self, folder: Path, settings: dict[str, str | bool | int | float], words: dict[str, str]) -> None:
        from tensorboard.plugins.hparams import metadata, plugin_data_pb2

        self.folder, self.words, self.writers = folder, words, dict[str, Any]()
        self.started = time.time()
        start = plugin_data_pb2.SessionStartInfo(start_time_secs=self.started)
        for name, value in settings.items():
            # Python counts True among the numbers, TensorBoard's table does not
            kind = "bool_value" if value is True or value is False else None
            kind = kind or ("string_value" if isinstance(value, str) else "number_value")
            setattr(start.hparams[name], kind, value)
        try:
            for old in folder.rglob(f"{EVENTS}*"):
                old.unlink()
            self._write_session(metadata.SESSION_START_INFO_TAG, session_start_info=start)
            self.tell_words({})
        except OSError as error:
            raise InputError(
                f"{folder} must be writable, but {error.strerror}: mend that, or begin a new run."
            ) from error

    def tell_numbers(self, numbers: dict[str, float], step: int, at_seconds: float) -> None:
        """Write scalars, each in the file of its fold or of the run."""
        from tensorboard.compat.proto import event_pb2, summary_pb2

        of_part: dict[str, list[Any]] = {}
        for key, number in numbers.items():
            part, _, name = key.rpartition("/")
            of_part.setdefault(part, []).append(summary_pb2.Summary.Value(tag=name, simple_value=number))
        for part, values in of_part.items():
            summary = summary_pb2.Summary(value=values)
            self._write(part, event_pb2.Event(wall_time=at_seconds, step=step, summary=summary))

    def tell_words(self, words: dict[str, str]) -> None:
        """Write a card of text, with all words so far as a table in Markdown."""
        from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2

        self.words = self.words | words
        table = "| | |\n|---|---|\n" + "\n".join(f"| {name} | {text} |" for name, text in self.words.items())
        value = summary_pb2.Summary.Value(
            tag="about",
            metadata=summary_pb2.SummaryMetadata(
                plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name="text")
            ),
            tensor=tensor_pb2.TensorProto(
                dtype=types_pb2.DT_STRING,
                tensor_shape=tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=1)]),
                string_val=[table.encode("utf-8", errors="backslashreplace")],
            ),
        )
        self._write("", event_pb2.Event(wall_time=time.time(), summary=summary_pb2.Summary(value=[value])))

    def close(self, status: str) -> None:
        """Write how the run ended, and close the files."""
        from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

        ended = {"FINISHED": api_pb2.STATUS_SUCCESS, "FAILED": api_pb2.STATUS_FAILURE}
        end = plugin_data_pb2.SessionEndInfo(
            status=ended.get(status, api_pb2.STATUS_UNKNOWN), end_time_secs=time.time()
        )
        try:
            self._write_session(metadata.SESSION_END_INFO_TAG, session_end_info=end)
        finally:
            for writer in self.writers.values():
                with contextlib.suppress(OSError):  # of a full disk; the file is closed all the same
                    writer.close()

    def _write_session(self, tag: str, **content: Any) -> None:
        """Write a line for the table of hyperparameters."""
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.plugins.hparams import metadata, plugin_data_pb2

        described = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(**content))
        value = summary_pb2.Summary.Value(tag=tag, metadata=described, tensor=metadata.NULL_TENSOR)
        self._write("", event_pb2.Event(wall_time=time.time(), summary=summary_pb2.Summary(value=[value])))

    def _write(self, part: str, event: Any) -> None:
        writer = self.writers.get(part) or self._open(part)
        writer.write(event.SerializeToString())
        writer.flush()

    def _open(self, part: str) -> Any:
        """Begin a file; a TensorBoard that has read an earlier one is told to forget it."""
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder = self.folder / part
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{EVENTS}.{time.time_ns()}.{socket.gethostname()}"
        self.writers[part] = writer = RecordWriter(path.open("wb"))
        begun = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        writer.write(event_pb2.Event(wall_time=self.started, file_version="brain.Event:2").SerializeToString())
        writer.write(event_pb2.Event(wall_time=self.started, session_log=begun).SerializeToString())
        return writer


# MLflow: one of its runs per run of ours, told through its own client, which reads its own standard variables.
#
# MLFLOW_TRACKING_URI says where; MLFLOW_EXPERIMENT_NAME, MLFLOW_RUN_ID, MLFLOW_TRACKING_USERNAME and the others mean what
# they mean to MLflow. The id of the MLflow run is kept in the run folder, so that a run which goes on also goes on there,
# and what the server holds already is not told again.

ADDRESS = "MLFLOW_TRACKING_URI"
RUN_ID = "mlflow.json"  # in the run folder
# Left to itself the client retries for four minutes, and waits two for each answer. What is set already stays.
PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # we tell it ourselves, without a password
}
SHOWN_CHARACTERS = 200


def check_mlflow() -> None:
    """Find out whether the server or database that MLFLOW_TRACKING_URI names answers.

    Raises:
        InputError: if it does not, or the client is not installed.
    """
    client = _import_mlflow()
    with _explained():
        client.MlflowClient().search_experiments(max_results=1)


class MLflowTracker:
    """Tells an MLflow run of a run of ours; a `Tracker`.

    Args:
        folder: of the run. The MLflow run that it names goes on; if it names none, one begins that is called like it.
        settings: become its parameters.
        words: become its tags.

    Attributes:
        run_id: of the MLflow run.
        address: as it may be shown.

    Raises:
        InputError: if the address does not take it, or does not know the run that is to go on.
    """

    name = "MLflow"

    def __init__(self, folder: Path, settings: dict[str, str | bool | int | float], words: dict[str, str]) -> None:
        self.mlflow = _import_mlflow()
        from mlflow.entities import Param

        self.client = self.mlflow.MlflowClient()
        self.address = hide_secrets(os.environ[ADDRESS])
        known = read_run_id(folder)
        with _explained(f", which must know the run in {folder / RUN_ID}," if known else ""):
            # nested: in a notebook, or a study, a run of the caller's may be under way
            begun = self.mlflow.start_run(known, run_name=None if known else folder.name, nested=True, tags=words)
            self.run_id = begun.info.run_id
            self.told = self._find_told(begun) if known else set[tuple[str, int]]()
            parameters = [Param(name, str(value)) for name, value in settings.items()]
            self.client.log_batch(self.run_id, params=parameters)  # one that it holds with another value is refused
        write_json(folder / RUN_ID, {"run_id": self.run_id})

    def tell_numbers(self, numbers: dict[str, float], step: int, at_seconds: float) -> None:
        """Tell those numbers that the MLflow run does not hold yet, in one call."""
        from mlflow.entities import Metric

        new = [
            Metric(key, value, round(1000 * at_seconds), step)
            for key, value in numbers.items()
            if (key, step) not in self.told
        ]
        self.client.log_batch(self.run_id, metrics=new)

    def tell_words(self, words: dict[str, str]) -> None:
        """Set tags."""
        from mlflow.entities import RunTag

        self.client.log_batch(self.run_id, tags=[RunTag(name, text) for name, text in words.items()])

    def close(self, status: str) -> None:
        """End the MLflow run."""
        self.mlflow.end_run(status)

    def _find_told(self, begun: Any) -> set[tuple[str, int]]:
        """Which numbers of which epochs the MLflow run holds: more than our state if that was not saved afterwards."""
        held = {key: self.client.get_metric_history(self.run_id, key) for key in begun.data.metrics}
        return {(key, number.step) for key, numbers in held.items() for number in numbers}


def read_run_id(folder: Path) -> str | None:
    """The MLflow run that a run folder names; None if it names none.

    Raises:
        InputError: if its file is damaged.
    """
    path = folder / RUN_ID
    if not path.exists():
        return None
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("run_id"), str):
        raise InputError(f"{path} must name an MLflow run, but does not: remove it, and another is begun.")
    return content["run_id"]


def hide_secrets(text: str) -> str:
    """An address, or a message that holds one, without user, password and what follows a question mark."""
    return re.sub(r"\?\S*", "", re.sub(r"//\S*@", "//", text))


def _import_mlflow() -> Any:
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    try:
        import mlflow
    except ImportError as error:
        raise InputError(
            f"{ADDRESS} is set and needs {error.name or 'mlflow'}, which is not installed: "
            "pip install -e '.[trackers]', or unset it."
        ) from error
    return mlflow


@contextlib.contextmanager
def _explained(more: str = "") -> Iterator[None]:
    """Turn whatever the client raises into one line: its stores, drivers and proxies each have errors of their own."""
    try:
        yield
    except Exception as error:
        reason = hide_secrets(" ".join(f"{error}".split())) or type(error).__name__
        reason = textwrap.shorten(reason, SHOWN_CHARACTERS, placeholder=" …").rstrip(".")
        address = hide_secrets(os.environ[ADDRESS])
        raise InputError(f"{ADDRESS}={address}{more} must answer, but: {reason}. Mend it, or unset it.") from error


TENSORBOARD = "tensorboard"  # in the run folder
COUNTERS = ("fold", "epoch", "epochs")  # columns of the history that say which epoch a row is of


class Tracker(Protocol):
    """What is told of one run. Numbers of a fold are called `fold<k>/<name>`, with k as in history.csv."""

    name: str

    def tell_numbers(self, numbers: dict[str, float], step: int, at_seconds: float) -> None:
        """Tell numbers of an epoch, counted from 1, or of the whole run (0); `at_seconds` is since 1970."""

    def tell_words(self, words: dict[str, str]) -> None:
        """Tell what is no number."""

    def close(self, status: str) -> None:
        """End the telling; the status is FINISHED, KILLED (stopped, or given up) or FAILED."""


class Trackers:
    """The trackers of one run, as a context that tells them how it ended.

    Args:
        say: shows a line.
        trackers: those asked for.
    """

    def __init__(self, say: Callable[[str], None], trackers: list[Tracker]) -> None:
        self.say, self.trackers, self.told_rows = say, trackers, 0

    def __enter__(self) -> "Trackers":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        stopped = kind is not None and issubclass(kind, (KeyboardInterrupt, PrunedError, LostError, WriteError))
        self._close("KILLED" if stopped else "FAILED")

    def follow(self, history: list[dict[str, Any]]) -> None:
        """Tell those rows of the history that have not been told; it only ever grows.

        Several at once, as when a run goes on, are dated by the seconds that each took, as if there had been no pause.
        """
        rows, at_seconds = history[self.told_rows :], time.time()
        at_seconds -= sum(row["seconds"] for row in rows)
        self.told_rows = len(history)
        for row in rows:
            at_seconds += row["seconds"]
            numbers = {f"fold{row['fold']}/{name}": row[name] for name in row if name not in COUNTERS}
            self._tell(lambda tracker, *told: tracker.tell_numbers(*told), numbers, row["epoch"], at_seconds)

    def conclude(self, metrics: dict[str, Any]) -> None:
        """Tell the result of a run that is about to have finished.

        Args:
            metrics: the content of metrics.json.
        """
        numbers, words = describe_result(metrics)
        self._tell(lambda tracker: tracker.tell_numbers(numbers, 0, time.time()))
        self._tell(lambda tracker: tracker.tell_words(words))
        self._close("FINISHED")

    def _close(self, status: str) -> None:
        self._tell(lambda tracker: tracker.close(status))
        self.trackers = []

    def _tell(self, tell: Callable[..., None], *told: Any) -> None:
        """Tell each tracker in turn; one that fails is told no more."""
        for tracker in list(self.trackers):
            try:
                tell(tracker, *told)
            except Exception as error:  # whatever a server, a disk or a foreign package raises: training matters more
                self.trackers.remove(tracker)
                with contextlib.suppress(Exception):  # it has failed already; what it holds open in here is let go
                    tracker.close("KILLED")
                self.say(
                    f"WARNING: {tracker.name} failed ({type(error).__name__}) and is told no more of this run, which "
                    "goes on; history.csv and metrics.json will have it all"
                )


def check_trackers(config: RunConfig) -> None:
    """Find out, before anything is loaded or written, whether the trackers asked for are there.

    Raises:
        InputError: if a package is not installed, or an address does not answer.
    """
    if config.tensorboard:
        check_tensorboard()
    if os.environ.get(ADDRESS):
        check_mlflow()


def open_trackers(config: RunConfig, run: Run, commit: str | None) -> Trackers:
    """Begin to tell of a run, or go on with what was told of it in an earlier sitting.

    Args:
        config: of the run.
        run: its folder.
        commit: that the run was begun at; None if nothing tells.

    Raises:
        InputError: if a tracker cannot be told.
    """
    settings = flatten_settings(config)
    words = {
        "subcommand": run.subcommand,
        "model": config.model,
        "commit": commit or "unknown",
        "run_folder": str(run.path),
    }
    trackers: list[Tracker] = []
    if config.tensorboard:
        trackers.append(TensorBoardTracker(run.path / TENSORBOARD, settings, words))
        run.log(f"for the curves: tensorboard --logdir {run.path.parent}")
    if os.environ.get(ADDRESS):
        tracker = MLflowTracker(run.path, settings, words)
        trackers.append(tracker)
        run.log(f"MLflow run {tracker.run_id} at {tracker.address}")
    elif (run.path / RUN_ID).exists():
        run.log(f"note: MLflow is told no more of this run, as {ADDRESS} is no longer set")
    return Trackers(run.log, trackers)


def flatten_settings(config: RunConfig) -> dict[str, str | bool | int | float]:
    """The configuration as names and plain values, without what is not set."""
    settings = {name: " ".join(value) if isinstance(value, list) else value for name, value in config.to_json().items()}
    return {name: value for name, value in settings.items() if value is not None}


def describe_result(metrics: dict[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
    """The content of metrics.json as numbers and words for a tracker; what a run has not measured is left out."""
    low, high = metrics["oof_accuracy_interval"]
    numbers = {
        **{f"fold{fold}/oof_accuracy": accuracy for fold, accuracy in enumerate(metrics["fold_accuracies"])},
        "oof_accuracy_low": low,
        "oof_accuracy_high": high,
    }
    whole_run = ("oof_accuracy", "calibration_error", "untrained_accuracy", "elapsed_seconds", "training_seconds")
    numbers |= {name: metrics[name] for name in whole_run if metrics[name] is not None}
    words = {"ineligible": metrics["ineligible"] or "no"}
    return numbers, words | {name: metrics[name] for name in ("submission", "precision") if metrics[name]}
