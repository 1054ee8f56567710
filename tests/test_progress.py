import contextlib
import io
import sys
import types

import keras
import numpy as np
import pytest

from digit_recognizer import console
from digit_recognizer.console import format_seconds, open_bar, print_line, show_status, track
from digit_recognizer.training import callbacks
from digit_recognizer.training.callbacks import Progress
from digit_recognizer.training.trainer import predict_probabilities


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


def test_the_first_epoch_which_also_compiles_says_nothing_of_the_time_left(clock):
    reporter, lines = start(epochs_left=12, epochs=2)
    clock[0] += 60
    reporter.on_epoch_end(0, LOGS)
    assert len(lines) == 1
    assert lines[0].startswith("fold 0 [1/2]  epoch   1/2") and "ETA" not in lines[0]
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
    clock[0] += 5
    reporter.on_epoch_end(1, LOGS)
    assert lines[0] == "fold 0 is done" and lines[-1].endswith("ETA 45 s")


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


class Terminal(io.StringIO):
    def isatty(self):
        return True


def on_terminal():
    """Inside, standard error is a terminal; gives what is written there."""
    return contextlib.redirect_stderr(Terminal())


def test_bars_are_silent_in_logs_and_pipes(capfd):
    with open_bar("training", 3, delay=0) as bar, show_status("starting"):
        assert bar.disable
        bar.update()
    assert list(track([1, 2], "doubling")) == [1, 2]
    assert capfd.readouterr() == ("", "")


def test_a_bar_on_a_terminal_fills_and_vanishes_and_lines_stand_above_it(capsys):
    with on_terminal() as screen, open_bar("training", 4, delay=0) as bar:
        bar.update(1.5)
        bar.total -= 1
        bar.set_description_str("fold 0 [1/2]", refresh=False)
        bar.update(0.5)
        print_line("a line of the log")
    assert capsys.readouterr().out == "a line of the log\n"
    drawn = screen.getvalue()
    assert "training:   0%" in drawn and "fold 0 [1/2]:  67%" in drawn
    assert drawn.endswith("\r") and not drawn.split("\r")[-2].strip(), "the line is blank at the end"


def test_a_bar_that_a_line_has_drawn_before_its_delay_vanishes_too(capsys):
    with on_terminal() as screen, open_bar("pictures", 2, "pictures") as bar:
        print_line("a picture")
        bar.update()
    assert "pictures:   0%" in screen.getvalue() and not screen.getvalue().split("\r")[-2].strip()


def test_short_work_needs_no_bar_and_an_error_leaves_none():
    with on_terminal() as screen:
        assert list(track("abc", "spelling")) == ["a", "b", "c"]
        assert not screen.getvalue().strip()
        left = open_bar("training", 2, delay=0)
        assert not left.disable and "training" in screen.getvalue()
        console.close_bars()
        assert not screen.getvalue().split("\r")[-2].strip()


def test_what_is_waited_for_is_shown_and_wiped():
    with on_terminal() as screen:
        with show_status("starting Keras"):
            assert screen.getvalue() == "starting Keras …\r"
        assert screen.getvalue().endswith("\r" + " " * 16 + "\r")


def test_a_notebook_has_a_bar_though_it_has_no_terminal(monkeypatch):
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    with open_bar("training", 2, delay=0) as bar:
        assert not bar.disable


@pytest.mark.parametrize("attended", [True, False])
def test_a_notebook_that_a_program_runs_has_no_bar(monkeypatch, attended):
    shell = types.SimpleNamespace(config={"IPKernelApp": {}}, kernel=types.SimpleNamespace(_allow_stdin=attended))
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    with open_bar("training", 2, delay=0) as bar:
        assert bar.disable != attended


def test_the_bar_of_training_follows_batches_and_epochs():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    inputs = np.zeros((8, 2), np.float32)
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update({**LOGS, **logs}))
    with on_terminal() as screen, Progress([].append, 4, folds=2) as progress:
        model.fit(inputs, inputs[:, :1], batch_size=2, epochs=2, verbose=0, callbacks=[watch, progress])
        assert progress.bar.n == pytest.approx(2)
        progress.end_fold("fold 0 is done", epochs_skipped=1)
        assert progress.bar.total == 3
        progress.bar.refresh()
    assert "fold 0 [1/2]  epoch 2/2:  67%" in screen.getvalue()


def test_prediction_with_a_bar_gives_the_same_numbers():
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 1), np.uint8)
    with on_terminal():
        seen = predict_probabilities(model, images, tta=5)
    assert np.array_equal(seen, predict_probabilities(model, images, tta=5))
