"""The trackers themselves: TensorBoard and MLflow, imported by `training.callbacks` only where one is asked for.

TensorBoard's event files are written by its own package: no TensorFlow, no thread, each epoch on the disk at once. Each
fold is a curve of its own, a folder `fold<k>` beside the file of the whole run, which also holds the configuration as
TensorBoard's table of hyperparameters takes it. A resumed run writes its files again from its history: each epoch is in
them once, whenever the run was interrupted.

MLflow gets one of its runs per run of ours, through its own client, which reads its own standard variables.
MLFLOW_TRACKING_URI says where; MLFLOW_EXPERIMENT_NAME, MLFLOW_RUN_ID, MLFLOW_TRACKING_USERNAME and the others mean
what they mean to MLflow. The id of the MLflow run is kept in the run folder, so that a resumed run continues it, and
what the server holds already is not sent again.
"""

import contextlib
import os
import re
import socket
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from digit_recognizer.errors import InputError, require
from digit_recognizer.io import read_json, write_json

EVENTS = "events.out.tfevents"  # TensorBoard knows its files by this
ADDRESS = "MLFLOW_TRACKING_URI"
RUN_ID = "mlflow.json"  # in the run folder
# Left to itself the client retries for four minutes, and waits two for each answer. What is set already stays.
PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # we print it ourselves, without a password
}
SHOWN_CHARACTERS = 200


def check_tensorboard() -> None:
    """Find out whether TensorBoard's package is installed.

    Raises:
        InputError: if it is not.
    """
    require("tensorboard.summary.writer.record_writer", "trackers")  # a folder `tensorboard` here has no such module


class TensorBoardTracker:
    """Writes the event files of one run; a `Tracker`.

    Args:
        folder: where they go; those of an earlier session are removed.
        configuration: of the run.
        tags: what else is known at its start.

    Raises:
        InputError: if they cannot be written.
    """

    name = "TensorBoard"

    def __init__(self, folder: Path, configuration: dict[str, str | bool | int | float], tags: dict[str, str]) -> None:
        from tensorboard.plugins.hparams import metadata, plugin_data_pb2

        self.folder, self.tags, self.writers = folder, tags, dict[str, Any]()
        self.started = time.time()
        start = plugin_data_pb2.SessionStartInfo(start_time_secs=self.started)
        for name, value in configuration.items():
            # Python counts True among the numbers, TensorBoard's table does not
            kind = "bool_value" if value is True or value is False else None
            kind = kind or ("string_value" if isinstance(value, str) else "number_value")
            setattr(start.hparams[name], kind, value)
        try:
            for old in folder.rglob(f"{EVENTS}*"):
                old.unlink()
            self._write_session(metadata.SESSION_START_INFO_TAG, session_start_info=start)
            self.log_text({})
        except OSError as error:
            raise InputError("io.unwritable", path=folder, received=error.strerror) from error

    def log_metrics(self, metrics: dict[str, float], step: int, at_seconds: float) -> None:
        """Write scalars, each in the file of its fold or of the run."""
        from tensorboard.compat.proto import event_pb2, summary_pb2

        of_part: dict[str, list[Any]] = {}
        for key, number in metrics.items():
            part, _, name = key.rpartition("/")
            of_part.setdefault(part, []).append(summary_pb2.Summary.Value(tag=name, simple_value=number))
        for part, values in of_part.items():
            summary = summary_pb2.Summary(value=values)
            self._write(part, event_pb2.Event(wall_time=at_seconds, step=step, summary=summary))

    def log_text(self, tags: dict[str, str]) -> None:
        """Write a card of text, with all tags so far as a table in Markdown."""
        from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2

        self.tags = self.tags | tags
        table = "| | |\n|---|---|\n" + "\n".join(f"| {name} | {text} |" for name, text in self.tags.items())
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
        """Start a file; a TensorBoard that has read an earlier one is made to forget it."""
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


def check_mlflow() -> None:
    """Find out whether the server or database that MLFLOW_TRACKING_URI names answers.

    Raises:
        InputError: if it does not, or the client is not installed.
    """
    client = _import_mlflow()
    with _explained():
        client.MlflowClient().search_experiments(max_results=1)


class MLflowTracker:
    """Logs a run of ours to an MLflow run; a `Tracker`.

    Args:
        folder: of the run. The MLflow run that it names is continued; if it names none, one of its name is started.
        configuration: becomes its parameters.
        tags: become its tags.

    Attributes:
        run_id: of the MLflow run.
        address: as it may be shown.

    Raises:
        InputError: if the address does not take it, or does not know the run to be continued.
    """

    name = "MLflow"

    def __init__(self, folder: Path, configuration: dict[str, str | bool | int | float], tags: dict[str, str]) -> None:
        self.mlflow = _import_mlflow()
        from mlflow.entities import Param

        self.client = self.mlflow.MlflowClient()
        self.address = hide_secrets(os.environ[ADDRESS])
        known = read_run_id(folder)
        with _explained(folder / RUN_ID if known else None):
            # nested: in a notebook, or a study, a run of the caller's may be under way
            started = self.mlflow.start_run(known, run_name=None if known else folder.name, nested=True, tags=tags)
            self.run_id = started.info.run_id
            self.logged = self._find_logged(started) if known else set[tuple[str, int]]()
            parameters = [Param(name, str(value)) for name, value in configuration.items()]
            self.client.log_batch(self.run_id, params=parameters)  # one that it holds with another value is refused
        write_json(folder / RUN_ID, {"run_id": self.run_id})

    def log_metrics(self, metrics: dict[str, float], step: int, at_seconds: float) -> None:
        """Send those metrics that the MLflow run does not hold yet, in one call."""
        from mlflow.entities import Metric

        new = [
            Metric(key, value, round(1000 * at_seconds), step)
            for key, value in metrics.items()
            if (key, step) not in self.logged
        ]
        self.client.log_batch(self.run_id, metrics=new)

    def log_text(self, tags: dict[str, str]) -> None:
        """Set tags."""
        from mlflow.entities import RunTag

        self.client.log_batch(self.run_id, tags=[RunTag(name, text) for name, text in tags.items()])

    def close(self, status: str) -> None:
        """End the MLflow run."""
        self.mlflow.end_run(status)

    def _find_logged(self, started: Any) -> set[tuple[str, int]]:
        """Which metrics of which epochs MLflow holds: more than our checkpoint if the run was killed between."""
        held = {key: self.client.get_metric_history(self.run_id, key) for key in started.data.metrics}
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
        raise InputError("trackers.no_run_id", path=path)
    return content["run_id"]


def hide_secrets(text: str) -> str:
    """An address, or a message that holds one, without user, password and what follows a question mark."""
    return re.sub(r"\?\S*", "", re.sub(r"//\S*@", "//", text))


def _import_mlflow() -> Any:
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    return require("mlflow", "trackers")


@contextlib.contextmanager
def _explained(run_id_file: Path | None = None) -> Iterator[None]:
    """Turn whatever the client raises into one line: its stores, drivers and proxies each have errors of their own."""
    try:
        yield
    except Exception as error:
        reason = hide_secrets(" ".join(f"{error}".split())) or type(error).__name__
        reason = textwrap.shorten(reason, SHOWN_CHARACTERS, placeholder=" …").rstrip(".")
        code = "trackers.run_unknown" if run_id_file else "trackers.no_answer"
        address = hide_secrets(os.environ[ADDRESS])
        raise InputError(code, path=run_id_file, received=address, variable=ADDRESS, reason=reason) from error
