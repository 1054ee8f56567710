"""The trackers themselves: TensorBoard and MLflow, imported by `training.callbacks` only where one is asked for.

TensorBoard's event files are written by its own package: no TensorFlow, no thread, each epoch on the disk at once. Each
fold is a curve of its own, a folder `fold<k>` beside the file of the whole run, which also holds the configuration as
TensorBoard's table of hyperparameters takes it. A resumed run writes its files again from its history: each epoch is in
them once, whenever the run was interrupted.

MLflow gets one of its runs per run of ours, through its own client, which reads its own standard variables.
MLFLOW_TRACKING_URI says where; MLFLOW_EXPERIMENT_NAME, MLFLOW_RUN_ID, MLFLOW_TRACKING_USERNAME and the others mean
what they mean to MLflow. The id of the MLflow run is kept in the run folder, so that a resumed run continues it, and
what the server holds already is not sent again.

A tracker logs metrics of an epoch, counted from 1, or of the whole run (step 0), at a time in seconds since 1970;
metrics of a fold are called `fold<k>/<name>`, with k as in history.csv. It logs what is no number as tags. It is closed
with the status FINISHED, KILLED (interrupted or pruned) or FAILED.
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

from digit_recognizer.config import RunConfig
from digit_recognizer.errors import InputError, require
from digit_recognizer.io import read_json, write_json
from digit_recognizer.training.callbacks import ADDRESS, RUN_ID
from digit_recognizer.training.run import Run

EVENTS = "events.out.tfevents"  # TensorBoard knows its files by this
# Left to itself the client retries for four minutes, and waits two for each answer. What is set already stays.
PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # we print it ourselves, without a password
}
SHOWN_CHARACTERS = 200

Configuration = dict[str, str | bool | int | float]


def check_packages(config: RunConfig) -> None:
    """Find out whether the packages asked for are installed, and whether MLflow's server or database answers.

    Raises:
        InputError: if not.
    """
    if config.tensorboard:  # a folder `tensorboard` here has no such module
        require("tensorboard.summary.writer.record_writer", "trackers")
    if os.environ.get(ADDRESS):
        client = _import_mlflow()
        with _explained():
            client.MlflowClient().search_experiments(max_results=1)


def start_trackers(config: RunConfig, run: Run, commit: str | None) -> list[Any]:
    """The trackers asked for, each with the configuration; the commit is that the run was started at, if known.

    Raises:
        InputError: if one does not accept the run.
    """
    fields = {name: " ".join(value) if isinstance(value, list) else value for name, value in config.to_json().items()}
    configuration = {name: value for name, value in fields.items() if value is not None}
    tags = {"subcommand": run.subcommand, "model": config.model_name, "commit": commit or "unknown"}
    tags["run_folder"] = str(run.path)
    trackers: list[Any] = []
    if config.tensorboard:
        trackers.append(TensorBoardTracker(run.path / "tensorboard", configuration, tags))
        run.log(f"for the curves: tensorboard --logdir {run.path.parent}")
    if os.environ.get(ADDRESS):
        trackers.append(tracker := MLflowTracker(run.path, configuration, tags))
        run.log(f"MLflow run {tracker.run_id} at {hide_secrets(os.environ[ADDRESS])}")
    return trackers


class TensorBoardTracker:
    """Writes the event files of one run.

    Args:
        folder: where they go; those of an earlier session are removed.
        configuration: of the run.
        tags: what else is known at its start.

    Raises:
        InputError: if they cannot be written.
    """

    name = "TensorBoard"

    def __init__(self, folder: Path, configuration: Configuration, tags: dict[str, str]) -> None:
        from tensorboard.plugins.hparams import summary_v2

        self.folder, self.tags, self.writers = folder, tags, dict[str, Any]()
        self.started = time.time()
        # an id of its own: TensorBoard would show runs of equal configurations as one
        start = summary_v2.hparams_pb(configuration, trial_id=ascii(str(folder)), start_time_secs=self.started)
        try:
            for old in folder.rglob(f"{EVENTS}*"):
                old.unlink()
            self._write("", start)
            self.log_text({})
        except OSError as error:
            raise InputError("io.unwritable", path=folder, received=error.strerror) from error

    def log_metrics(self, metrics: dict[str, float], step: int, at_seconds: float) -> None:
        """Write scalars, each in the file of its fold or of the run."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        of_part: dict[str, list[Any]] = {}
        for key, number in metrics.items():
            part, _, name = key.rpartition("/")
            of_part.setdefault(part, []).append(Summary.Value(tag=name, simple_value=number))
        for part, values in of_part.items():
            self._write(part, Summary(value=values), step, at_seconds)

    def log_text(self, tags: dict[str, str]) -> None:
        """Write a card of text, with all tags so far as a table in Markdown."""
        from tensorboard.plugins.text import summary_v2

        self.tags = self.tags | tags
        table = "| | |\n|---|---|\n" + "\n".join(f"| {name} | {text} |" for name, text in self.tags.items())
        self._write("", summary_v2.text_pb("about", table.encode("utf-8", errors="backslashreplace")))

    def close(self, status: str) -> None:
        """Write how the run ended, and close the files."""
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

        ended = {"FINISHED": api_pb2.STATUS_SUCCESS, "FAILED": api_pb2.STATUS_FAILURE}
        end = plugin_data_pb2.SessionEndInfo(
            status=ended.get(status, api_pb2.STATUS_UNKNOWN), end_time_secs=time.time()
        )
        described = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=end))
        value = Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=described, tensor=metadata.NULL_TENSOR)
        try:
            self._write("", Summary(value=[value]))
        finally:
            for writer in self.writers.values():
                with contextlib.suppress(OSError):  # of a full disk; the file is closed all the same
                    writer.close()

    def _write(self, part: str, summary: Any, step: int = 0, at_seconds: float | None = None) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        writer = self.writers.get(part) or self._open(part)
        writer.write(Event(wall_time=at_seconds or time.time(), step=step, summary=summary).SerializeToString())
        writer.flush()

    def _open(self, part: str) -> Any:
        """Start a file; a TensorBoard that has read an earlier one is made to forget it."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder = self.folder / part
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{EVENTS}.{time.time_ns()}.{socket.gethostname()}"
        self.writers[part] = writer = RecordWriter(path.open("wb"))
        for first in ({"file_version": "brain.Event:2"}, {"session_log": SessionLog(status=SessionLog.START)}):
            writer.write(Event(wall_time=self.started, **first).SerializeToString())
        return writer


class MLflowTracker:
    """Logs a run of ours to an MLflow run.

    Args:
        folder: of the run. The MLflow run that it names is continued; if it names none, one of its name is started.
        configuration: becomes its parameters.
        tags: become its tags.

    Attributes:
        run_id: of the MLflow run.

    Raises:
        InputError: if the address does not take it, or does not know the run to be continued, or the file that names it
            is damaged.
    """

    name = "MLflow"

    def __init__(self, folder: Path, configuration: Configuration, tags: dict[str, str]) -> None:
        self.mlflow = _import_mlflow()
        from mlflow.entities import Param

        self.client = self.mlflow.MlflowClient()
        known, path = None, folder / RUN_ID
        if path.exists():
            content = read_json(path)
            known = content.get("run_id") if isinstance(content, dict) else None
            if not isinstance(known, str):
                raise InputError("trackers.no_run_id", path=path)
        with _explained(path if known else None):
            # nested: in a notebook, or a study, a run of the caller's may be under way
            started = self.mlflow.start_run(known, run_name=None if known else folder.name, nested=True, tags=tags)
            self.run_id = started.info.run_id
            # which metrics of which epochs MLflow holds: more than our checkpoint if the run was killed between
            held = started.data.metrics if known else ()
            self.logged = {(key, one.step) for key in held for one in self.client.get_metric_history(self.run_id, key)}
            # a resumed run may write its submission elsewhere
            settings = {name: value for name, value in configuration.items() if not (known and name == "submission")}
            parameters = [Param(name, str(value)) for name, value in settings.items()]
            self.client.log_batch(self.run_id, params=parameters)  # one that it holds with another value is refused
        write_json(path, {"run_id": self.run_id})

    def log_metrics(self, metrics: dict[str, float], step: int, at_seconds: float) -> None:
        """Send those metrics that the MLflow run does not hold yet, in one call."""
        from mlflow.entities import Metric

        new = {key: value for key, value in metrics.items() if (key, step) not in self.logged}
        at = round(1000 * at_seconds)
        self.client.log_batch(self.run_id, metrics=[Metric(key, value, at, step) for key, value in new.items()])

    def log_text(self, tags: dict[str, str]) -> None:
        """Set tags."""
        from mlflow.entities import RunTag

        self.client.log_batch(self.run_id, tags=[RunTag(name, text) for name, text in tags.items()])

    def close(self, status: str) -> None:
        """End the MLflow run."""
        self.mlflow.end_run(status)


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
