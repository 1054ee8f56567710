import pytest

from digit_recognizer.console import format_seconds
from digit_recognizer.training import callbacks
from digit_recognizer.training.callbacks import Progress


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(callbacks.time, "perf_counter", lambda: now[0])
    return now


def start(epochs_left, epochs=10):
    lines = []
    reporter = Progress(lines.append, epochs_left, folds=2)
    reporter.set_params({"epochs": epochs})
    return reporter, lines


LOGS = {"fold": 0, "loss": 0.5, "accuracy": 0.9, "lr": 1e-3, "seconds": 2.0}


def test_the_time_left_is_logged_from_the_first_epoch_on(clock):
    reporter, lines = start(epochs_left=20)
    clock[0] += 30
    reporter.on_epoch_end(0, LOGS)
    assert len(lines) == 1
    assert lines[0].startswith("fold 0 [1/2]  epoch   1/10") and lines[0].endswith("ETA 9 min 30 s")


def test_the_epoch_that_compiles_does_not_count_once_there_is_another(clock):
    reporter, lines = start(epochs_left=12, epochs=2)
    clock[0] += 60
    reporter.on_epoch_end(0, LOGS)
    clock[0] += 6
    reporter.on_epoch_end(1, LOGS)
    assert lines[1].endswith("ETA 1 min 00 s")


def test_short_epochs_share_a_line_but_the_last_always_has_one(clock):
    reporter, lines = start(epochs_left=10)
    for epoch in range(10):
        clock[0] += 1
        reporter.on_epoch_end(epoch, LOGS)
    assert [line.split("epoch")[1].split("/")[0].strip() for line in lines] == ["1", "5", "9", "10"]


def test_epochs_saved_by_early_stopping_shorten_the_time_left(clock):
    reporter, lines = start(epochs_left=20)
    clock[0] += 10
    reporter.end_fold("fold 0 is done", epochs_skipped=9)
    reporter.on_epoch_end(0, LOGS)
    assert lines[0] == "fold 0 is done" and lines[1].endswith("ETA 1 min 40 s")


def test_a_fold_trained_elsewhere_has_the_time_left_in_its_line(clock):
    reporter, lines = start(epochs_left=20)
    clock[0] += 40
    reporter.end_fold("fold 0 is done", epochs_skipped=0, epochs_elsewhere=10)
    assert lines == ["fold 0 is done  ETA 40 s"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (3900, "1 h 05 min")]
)
def test_seconds_are_formatted_as_they_are_read(seconds, text):
    assert format_seconds(seconds) == text
