import pytest

from digit_recognizer.training import progress
from digit_recognizer.training.progress import Progress, format_seconds


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    return now


def epoch(number, epochs=10):
    return {"epoch": number, "epochs": epochs, "loss": 0.5, "accuracy": 0.9, "learning_rate": 1e-3, "seconds": 2.0}


def test_time_left_is_told_from_the_first_epoch_on(clock):
    lines = []
    reporter = Progress(lines.append, total_epochs=20)
    clock[0] += 30
    reporter.report_epoch("fold 1/2", epoch(1))
    assert len(lines) == 1
    assert lines[0].startswith("fold 1/2  epoch   1/10") and lines[0].endswith("left about 9 min 30 s")


def test_the_epoch_that_compiles_does_not_count_once_there_is_another(clock):
    lines = []
    reporter = Progress(lines.append, total_epochs=12)
    clock[0] += 60
    reporter.report_epoch("fold 1/1", epoch(1))
    clock[0] += 6
    reporter.report_epoch("fold 1/1", epoch(2))
    assert lines[1].endswith("left about 1 min 00 s")


def test_short_epochs_share_a_line_but_the_last_always_has_one(clock):
    lines = []
    reporter = Progress(lines.append, total_epochs=10)
    for number in range(1, 11):
        clock[0] += 1
        reporter.report_epoch("fold 1/1", epoch(number))
    assert [line.split()[3].split("/")[0] for line in lines] == ["1", "5", "9", "10"]


def test_epochs_spared_by_early_stopping_leave_the_time_left(clock):
    lines = []
    reporter = Progress(lines.append, total_epochs=20)
    clock[0] += 10
    reporter.skip_epochs(9)
    reporter.report_epoch("fold 1/2", epoch(1))
    assert lines[0].endswith("left about 1 min 40 s")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (3900, "1 h 05 min")]
)
def test_spans_read_as_one_says_them(seconds, text):
    assert format_seconds(seconds) == text
