"""What is told to trackers and when, and what becomes of a run whose tracker is not there or goes away."""

import importlib.util
import json
import os
import subprocess
import sys
import types

import numpy as np
import pytest

from digit_recognizer import cv
from digit_recognizer.config import RunConfig
from digit_recognizer.errors import DivergedError, InputError, PrunedError, WriteError
from digit_recognizer.training import trackers as mlflow_tracking
from digit_recognizer.training.run import Run
from digit_recognizer.training.trackers import Trackers, open_trackers

ADDRESS = "MLFLOW_TRACKING_URI"
needs_mlflow = pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is None, reason="the extra `trackers` is not installed"
)


def make_rows(fold=0, epochs=2):
    figures = {"loss": 0.5, "learning_rate": 1e-3, "seconds": 2.0}
    return [{"fold": fold, "epoch": epoch, "epochs": epochs, **figures} for epoch in range(1, epochs + 1)]


def test_nothing_is_imported_that_is_not_asked_for():
    script = (
        "import sys\n"
        "from digit_recognizer.config import RunConfig\n"
        "from digit_recognizer.training.trackers import check_trackers\n"
        "check_trackers(RunConfig())\n"
        "assert not {'mlflow', 'tensorboard', 'keras'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.parametrize(("package", "arguments"), [("tensorboard", ["--tensorboard"]), ("mlflow", [])])
def test_a_package_that_is_not_there_is_named_with_its_extra_before_anything_is_written(
    package, arguments, tiny_dir, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, package, None)
    if package == "mlflow":
        monkeypatch.setenv(ADDRESS, "http://user:secret@nowhere")
    assert cv.main(["--input-dir", str(tiny_dir), "--run-dir", str(tmp_path / "run"), *arguments]) == 2
    message = capsys.readouterr().err
    assert f"needs {package}, which is not installed: pip install -e '.[trackers]'" in message
    assert message.count("\n") == 1 and "secret" not in message and not (tmp_path / "run").exists()


@needs_mlflow
@pytest.mark.parametrize("address", ["http://user:secret@127.0.0.1:1", "nonsense://user:secret@host/"])
def test_a_wrong_address_is_told_before_anything_is_written(address, tiny_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(ADDRESS, address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert cv.main(["--input-dir", str(tiny_dir), "--run-dir", str(tmp_path / "run")]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"cv: {ADDRESS}=") and "must answer, but: " in message
    assert message.count("\n") == 1 and "secret" not in message and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:pass@host:5000/path", "http://host:5000/path"),
        ("postgresql://user:p@ss@host/db?password=secret", "postgresql://host/db"),
        ("postgresql://user:pa/ss@host/db", "postgresql://host/db"),
        ("sqlite:///runs/mlflow.db", "sqlite:///runs/mlflow.db"),
    ],
)
def test_an_address_is_shown_without_its_secrets(text, shown):
    assert mlflow_tracking.hide_secrets(text) == shown


class Listener:
    """A tracker that keeps what it is told; `fails_at` is the step at which its server goes away."""

    name = "Listener"

    def __init__(self, fails_at=None):
        self.fails_at, self.told, self.calls, self.status = fails_at, [], 0, None

    def tell_numbers(self, numbers, step, at_seconds):
        self.calls += 1
        if step == self.fails_at:
            raise ConnectionError("http://user:secret@host is gone\nfor good")
        self.told.append((numbers, step, at_seconds))

    def tell_words(self, words):
        self.words = words

    def close(self, status):
        self.status = status


def test_rows_are_told_once_and_those_of_earlier_sittings_without_the_pause():
    listener = Listener()
    with Trackers(print, [listener]) as trackers:
        history = make_rows(epochs=3)
        trackers.follow(history)
        trackers.follow(history)
        trackers.follow([*history, *make_rows(fold=1, epochs=1)])
    assert [step for _, step, _ in listener.told] == [1, 2, 3, 1]
    assert listener.told[-1][0] == {"fold1/loss": 0.5, "fold1/learning_rate": 1e-3, "fold1/seconds": 2.0}
    assert np.diff([at_seconds for *_, at_seconds in listener.told[:3]]) == pytest.approx(2.0)


def test_a_tracker_that_fails_costs_one_line_and_no_training():
    lines, failing, sound = [], Listener(fails_at=2), Listener()
    with Trackers(lines.append, [failing, sound]) as trackers:
        trackers.follow(make_rows(epochs=4))
    assert len(lines) == 1 and lines[0].startswith("WARNING: Listener failed (ConnectionError)")
    assert "\n" not in lines[0] and "secret" not in lines[0]
    assert failing.calls == 2 and [step for _, step, _ in sound.told] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("stop", "status"),
    [
        (KeyboardInterrupt, "KILLED"),
        (PrunedError, "KILLED"),
        (WriteError("no room"), "KILLED"),
        (DivergedError("it diverged"), "FAILED"),
    ],
    ids=str,
)
def test_how_a_run_ended_is_told(stop, status):
    listener = Listener()
    with pytest.raises((KeyboardInterrupt, PrunedError, InputError)), Trackers(print, [listener]):
        raise stop
    assert listener.status == status


def test_an_mlflow_server_that_goes_away_ends_the_telling_and_leaves_no_run_active(tmp_path, monkeypatch, capsys):
    active, calls = [], []

    class Client:
        def log_batch(self, run_id, metrics=(), params=(), tags=()):
            calls.append(len(metrics))
            if len(calls) > 2:
                raise ConnectionError("no route to http://user:secret@host")

    def start_run(run_id, **settings):
        active.append(settings)
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id="abc"))

    entities = types.SimpleNamespace(Metric=lambda *parts: parts, Param=lambda *parts: parts)
    fake = types.SimpleNamespace(
        MlflowClient=Client, start_run=start_run, end_run=lambda status: active.pop(), entities=entities
    )
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    monkeypatch.setenv(ADDRESS, "http://user:secret@host")
    with Run.create(RunConfig(run_dir=tmp_path / "run"), "train") as run:
        with open_trackers(RunConfig(), run, None) as trackers:
            assert active[0]["run_name"] == "run" and active[0]["tags"]["verb"] == "train"
            trackers.follow(make_rows(epochs=5))
        assert len(calls) == 3 and not active
    printed = capsys.readouterr().out
    assert printed.count("WARNING: MLflow failed") == 1 and "secret" not in printed
    assert json.loads((tmp_path / "run" / "mlflow.json").read_text()) == {"run_id": "abc"}
    monkeypatch.delenv(ADDRESS)
    with open_trackers(RunConfig(), run, None):
        assert "MLflow is told no more of this run" in capsys.readouterr().out
    (tmp_path / "run" / "mlflow.json").write_text("[]")
    monkeypatch.setenv(ADDRESS, "http://host")
    with pytest.raises(InputError, match=r"mlflow\.json must name an MLflow run"):
        open_trackers(RunConfig(), run, None)


def test_the_client_is_patient_for_seconds_unless_told_otherwise(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", types.SimpleNamespace(MlflowClient=lambda: pytest.fail("not yet")))
    for name in mlflow_tracking.PATIENCE:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    mlflow_tracking._import_mlflow()
    settled = {name: os.environ[name] for name in mlflow_tracking.PATIENCE}
    assert settled == {**mlflow_tracking.PATIENCE, "MLFLOW_HTTP_REQUEST_TIMEOUT": "77"}
