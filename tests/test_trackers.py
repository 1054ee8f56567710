"""What is logged to trackers and when, and what becomes of a run whose tracker is missing or fails."""

import importlib.util
import json
import os
import subprocess
import sys
import types

import numpy as np
import pytest
from conftest import expect_error

from digit_recognizer import cv
from digit_recognizer.config import RunConfig
from digit_recognizer.errors import DivergedError, InputError, PrunedError, WriteError
from digit_recognizer.training import tracking
from digit_recognizer.training.callbacks import Trackers, open_trackers
from digit_recognizer.training.run import Run

ADDRESS = "MLFLOW_TRACKING_URI"
needs_mlflow = pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is None, reason="the extra `trackers` is not installed"
)


def make_rows(fold=0, epochs=2):
    figures = {"loss": 0.5, "lr": 1e-3, "seconds": 2.0}
    return [{"fold": fold, "epoch": epoch, **figures} for epoch in range(1, epochs + 1)]


def test_nothing_is_imported_that_is_not_asked_for():
    script = (
        "import sys\n"
        "from digit_recognizer.config import RunConfig\n"
        "from digit_recognizer.training.callbacks import check_trackers\n"
        "check_trackers(RunConfig())\n"
        "assert not {'mlflow', 'tensorboard'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.parametrize(("package", "arguments"), [("tensorboard", ["--tensorboard"]), ("mlflow", [])])
def test_a_missing_package_is_named_before_anything_is_written(package, arguments, tiny_dir, tmp_path, monkeypatch):
    for name in [package, *(name for name in sys.modules if name.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    if package == "mlflow":
        monkeypatch.setenv(ADDRESS, "http://user:secret@nowhere")
    with expect_error("install.missing", extra="trackers") as caught:
        cv.main(["--input-dir", str(tiny_dir), "--run-dir", str(tmp_path / "run"), *arguments, "--debug"])
    assert "secret" not in str(caught.value) and not (tmp_path / "run").exists()


@needs_mlflow
@pytest.mark.parametrize("address", ["http://user:secret@127.0.0.1:1", "nonsense://user:secret@host/"])
def test_a_wrong_address_is_reported_before_anything_is_written(address, tiny_dir, tmp_path, monkeypatch):
    monkeypatch.setenv(ADDRESS, address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with expect_error("trackers.no_answer") as caught:
        cv.main(["--input-dir", str(tiny_dir), "--run-dir", str(tmp_path / "run"), "--debug"])
    assert "secret" not in str(caught.value) and not (tmp_path / "run").exists()


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
    assert tracking.hide_secrets(text) == shown


class Listener:
    """A tracker that keeps what it gets; `fails_at` is the step at which its server goes away."""

    name = "Listener"

    def __init__(self, fails_at=None):
        self.fails_at, self.logged, self.calls, self.status = fails_at, [], 0, None

    def log_metrics(self, metrics, step, at_seconds):
        self.calls += 1
        if step == self.fails_at:
            raise ConnectionError("http://user:secret@host is gone\nfor good")
        self.logged.append((metrics, step, at_seconds))

    def log_text(self, tags):
        self.tags = tags

    def close(self, status):
        self.status = status


def test_epochs_of_earlier_sessions_are_dated_without_the_pause():
    listener = Listener()
    with Trackers(print, [listener]) as trackers:
        trackers.log_epochs(make_rows(epochs=3))
        trackers.on_epoch_end(0, {"fold": 1, "loss": 0.5, "lr": 1e-3, "seconds": 2.0, "learning_rate": 1e-3})
    assert [step for _, step, _ in listener.logged] == [1, 2, 3, 1]
    assert listener.logged[-1][0] == {"fold1/loss": 0.5, "fold1/lr": 1e-3, "fold1/seconds": 2.0}
    assert np.diff([at_seconds for *_, at_seconds in listener.logged[:3]]) == pytest.approx(2.0)


def test_a_tracker_that_fails_costs_one_line_and_no_training():
    lines, failing, sound = [], Listener(fails_at=2), Listener()
    with Trackers(lines.append, [failing, sound]) as trackers:
        trackers.log_epochs(make_rows(epochs=4))
    assert len(lines) == 1 and lines[0].startswith("WARNING: Listener failed (ConnectionError)")
    assert "\n" not in lines[0] and "secret" not in lines[0]
    assert failing.calls == 2 and [step for _, step, _ in sound.logged] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("stop", "status"),
    [
        (KeyboardInterrupt, "KILLED"),
        (PrunedError, "KILLED"),
        (WriteError("io.unwritable", path="a", received="no room"), "KILLED"),
        (DivergedError("training.diverged", fold="fold 0"), "FAILED"),
    ],
    ids=str,
)
def test_trackers_know_how_a_run_ended(stop, status):
    listener = Listener()
    with pytest.raises((KeyboardInterrupt, PrunedError, InputError)), Trackers(print, [listener]):
        raise stop
    assert listener.status == status


def test_an_mlflow_server_that_fails_is_dropped_and_leaves_no_run_active(tmp_path, monkeypatch, capsys):
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
            assert active[0]["run_name"] == "run" and active[0]["tags"]["subcommand"] == "train"
            trackers.log_epochs(make_rows(epochs=5))
        assert len(calls) == 3 and not active
    printed = capsys.readouterr().out
    assert printed.count("WARNING: MLflow failed") == 1 and "secret" not in printed
    assert json.loads((tmp_path / "run" / "mlflow.json").read_text()) == {"run_id": "abc"}
    monkeypatch.delenv(ADDRESS)
    with open_trackers(RunConfig(), run, None):
        assert "no longer logged to MLflow" in capsys.readouterr().out
    (tmp_path / "run" / "mlflow.json").write_text("[]")
    monkeypatch.setenv(ADDRESS, "http://host")
    with expect_error("trackers.no_run_id"):
        open_trackers(RunConfig(), run, None)


def test_the_client_is_patient_for_seconds_unless_told_otherwise(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", types.SimpleNamespace(MlflowClient=lambda: pytest.fail("not yet")))
    for name in tracking.PATIENCE:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    tracking._import_mlflow()
    settled = {name: os.environ[name] for name in tracking.PATIENCE}
    assert settled == {**tracking.PATIENCE, "MLFLOW_HTTP_REQUEST_TIMEOUT": "77"}
