"""Files of a run folder may be damaged, or another run's; its numbers are its own, or there are none."""

import shutil

import pytest
from resuming import RECIPES, StopAfterSaving, configure, hash_results

from digit_recognizer import console as signals
from digit_recognizer.training.checkpoint import STATE
from digit_recognizer.training.cross_validation import resume, run_cross_validation


def test_a_run_without_its_environment_starts_again(stopped, whole, capsys):
    (stopped.run_dir / "environment.json").unlink()
    resume(stopped.run_dir, "cv")
    assert "belongs to another run" in capsys.readouterr().out
    assert hash_results(stopped) == hash_results(whole)


def test_another_runs_state_is_not_used(stopped, whole, tiny_dir, monkeypatch, capsys):
    other = configure(tiny_dir, "other", RECIPES["dropout, augmentation, one cycle"], learning_rate=0.5)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        StopAfterSaving(patch, saves=2)
        run_cross_validation(other)
    shutil.copy(other.run_dir / STATE, stopped.run_dir / STATE)
    resume(stopped.run_dir, "cv")
    assert "belongs to another run" in capsys.readouterr().out
    assert hash_results(stopped) == hash_results(whole)


def test_a_log_that_is_damaged_or_no_file_changes_no_number(stopped, whole):
    (stopped.run_dir / "log.txt").write_bytes(b"\xff\n")
    resume(stopped.run_dir, "cv")
    assert hash_results(stopped) == hash_results(whole)


def test_a_lost_signal_stops_the_run_at_its_next_checkpoint(tiny_dir, monkeypatch):
    config = configure(tiny_dir, "run", RECIPES["dropout, augmentation, one cycle"])
    monkeypatch.setattr(signals, "_pending", [signals.TerminatedError()])
    with pytest.raises(signals.TerminatedError, match="--resume"):
        run_cross_validation(config)
