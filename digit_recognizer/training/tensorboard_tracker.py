"""Event files for TensorBoard, written by its own package: no TensorFlow, no thread, each epoch on the disk at once.

Each fold is a curve of its own in TensorBoard, a folder `fold<k>` beside the file of the whole run, which also holds
the configuration as TensorBoard's table of hyperparameters takes it. A resumed run writes its files again from its
history: each epoch is in them once, whenever the run was interrupted.
"""

import contextlib
import socket
import time
from pathlib import Path
from typing import Any

from digit_recognizer.errors import InputError

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
        raise InputError("trackers.not_installed", received="--tensorboard", package=package) from error


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
