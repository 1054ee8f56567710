"""MLflow: one of its runs per run of ours, through its own client, which reads its own standard variables.

MLFLOW_TRACKING_URI says where; MLFLOW_EXPERIMENT_NAME, MLFLOW_RUN_ID, MLFLOW_TRACKING_USERNAME and the others mean what
they mean to MLflow. The id of the MLflow run is kept in the run folder, so that a resumed run continues it, and what the
server holds already is not sent again.
"""

import contextlib
import os
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from digit_recognizer.errors import InputError
from digit_recognizer.io import read_json, write_json

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
        """Which metrics of which epochs the MLflow run holds: more than our checkpoint if the run was killed between."""
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
    try:
        import mlflow
    except ImportError as error:
        raise InputError("trackers.not_installed", received=ADDRESS, package=error.name or "mlflow") from error
    return mlflow


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
