"""MLflow: one of its runs per run of ours, told through its own client, which reads its own standard variables.

MLFLOW_TRACKING_URI says where; MLFLOW_EXPERIMENT_NAME, MLFLOW_RUN_ID, MLFLOW_TRACKING_USERNAME and the others mean what
they mean to MLflow. The id of the MLflow run is kept in the run folder, so that a run which goes on also goes on there,
and what the server holds already is not told again.
"""

import contextlib
import os
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from digit_recognizer.errors import InputError
from digit_recognizer.files import read_json, write_json

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
