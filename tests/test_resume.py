"""A run that was stopped ends byte for byte as the run that was not."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import expect_error
from resuming import RECIPES, StopAfterSaving, configure, hash_results

from digit_recognizer import cv, train
from digit_recognizer.errors import UnusableRunError
from digit_recognizer.io import hash_file
from digit_recognizer.training import cross_validation
from digit_recognizer.training.checkpoint import PREVIOUS, STATE, load_checkpoint
from digit_recognizer.training.cross_validation import cross_validate, resume, run_cross_validation
from digit_recognizer.training.executors import Executor


@pytest.mark.usefixtures("thin_backbone")
@pytest.mark.parametrize(
    "recipe", [name if "plateau" in name else pytest.param(name, marks=pytest.mark.slow) for name in RECIPES]
)
def test_a_run_interrupted_after_every_checkpoint_ends_as_if_it_had_not_been(recipe, tiny_dir, monkeypatch):
    whole = configure(tiny_dir, "whole", RECIPES[recipe])
    run_cross_validation(whole)
    StopAfterSaving(monkeypatch)
    stopped, sessions = configure(tiny_dir, "stopped", RECIPES[recipe]), 1
    with pytest.raises(KeyboardInterrupt, match="--resume"):
        run_cross_validation(stopped)
    while True:
        try:
            resume(stopped.run_dir, "cv")
            break
        except KeyboardInterrupt:
            sessions += 1
    assert hash_results(stopped) == hash_results(whole)
    history = [json.loads(json.dumps(read_history(config))) for config in (whole, stopped)]
    assert history[0] == history[1], "every epoch once, with equal figures"
    assert sessions >= len(history[0]) + 2
    notes = [json.loads(config.submission.with_name(f"{config.submission.name}.json").read_text()) for config in
             (whole, stopped)]  # fmt: skip
    assert {**notes[0], "command": "", "run": ""} == {**notes[1], "command": "", "run": ""}
    assert sorted(path.name for path in stopped.run_dir.iterdir()) == sorted(p.name for p in whole.run_dir.iterdir())


def read_history(config):
    import csv

    with (config.run_dir / "history.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_the_command_resumes_and_shows_a_finished_run_again(stopped, whole, capsys):
    assert cv.main(["--resume", str(stopped.run_dir)]) == 0
    assert hash_results(stopped) == hash_results(whole)
    table = capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in stopped.run_dir.rglob("*") if path.is_file()}
    assert cv.main([f"--resume={stopped.run_dir}"]) == 0
    again = capsys.readouterr().out
    assert "has finished" in again and table.strip().splitlines()[-1] == again.strip().splitlines()[-1]
    assert {path: path.stat().st_mtime_ns for path in stopped.run_dir.rglob("*") if path.is_file()} == before
    with expect_error("run.submission_of_finished", path=stopped.run_dir):
        resume(stopped.run_dir, "cv", submission=Path("other.csv"))


def test_a_resumed_run_that_is_stopped_again_names_what_it_was_given(stopped, monkeypatch):
    executor = Executor()
    executor.flags = ("--executor", "local")
    monkeypatch.setattr("digit_recognizer.training.cross_validation.load_dataset", interrupt)
    with pytest.raises(KeyboardInterrupt, match=r"--submission again.csv --executor local$"):
        resume(stopped.run_dir, "cv", submission=Path("again.csv"), executor=executor)


def interrupt(*_):
    raise KeyboardInterrupt


def test_keras_own_callbacks_survive_a_resumption(tiny_dir, monkeypatch):
    tables = (tiny_dir / "train.csv", tiny_dir / "test.csv")
    settings = {"folds": 2, "epochs": 2, "batch_size": 20, "precision": "float32", "run_dir": "kept"}
    with monkeypatch.context() as patch:
        StopAfterSaving(patch, saves=1)
        with pytest.raises(KeyboardInterrupt):
            cross_validate("dense", *tables, callbacks=keras.callbacks.History(), **settings)
    callbacks = [keras.callbacks.History(), keras.callbacks.EarlyStopping("loss")]
    assert len(cross_validate("dense", *tables, callbacks=callbacks, **settings).oof) == 60


def test_a_folder_without_any_state_is_resumed(whole, tiny_dir, monkeypatch):
    config = configure(tiny_dir, "run", RECIPES["dropout, augmentation, one cycle"])

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cross_validation, "record_environment", stop)
        run_cross_validation(config)
    assert sorted(path.name for path in config.run_dir.iterdir()) == [".lock", "config.json"]
    resume(config.run_dir, "cv")
    assert hash_results(config) == hash_results(whole)


@pytest.mark.parametrize("damaged", [[STATE], [STATE, PREVIOUS]])
def test_a_damaged_checkpoint_costs_time_but_no_exactness(damaged, stopped, whole, capsys):
    for name in damaged:
        content = bytearray((stopped.run_dir / name).read_bytes())
        content[len(content) // 2] ^= 1
        (stopped.run_dir / name).write_bytes(content)
    resume(stopped.run_dir, "cv")
    assert hash_results(stopped) == hash_results(whole)
    assert all(f"{name} is damaged" in capsys.readouterr().out for name in damaged[:1])


def test_only_the_lock_of_a_living_process_keeps_others_out(stopped):
    from filelock import FileLock

    before = sorted(stopped.run_dir.iterdir())
    assert stopped.run_dir / ".lock" in before
    with FileLock(stopped.run_dir / ".lock"), expect_error("io.in_use"):
        resume(stopped.run_dir, "cv")
    assert sorted(stopped.run_dir.iterdir()) == before
    resume(stopped.run_dir, "cv")


def test_a_changed_environment_is_refused_by_name_or_recorded(stopped, monkeypatch, capsys):
    monkeypatch.setattr("digit_recognizer.training.reproducibility.count_threads", lambda: 64)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = {path: path.stat().st_mtime_ns for path in stopped.run_dir.rglob("*") if path.is_file()}
    assert cv.main(["--resume", str(stopped.run_dir)]) == 2
    message = capsys.readouterr().err
    assert "64 now" in message and "OMP_NUM_THREADS: None then, 1 now" in message and "--allow-inexact" in message
    assert message.count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in stopped.run_dir.rglob("*") if path.is_file()} == before
    assert cv.main(["--resume", str(stopped.run_dir), "--allow-inexact"]) == 0
    recorded = json.loads((stopped.run_dir / "metrics.json").read_text())["resumed_with_differences"]
    assert [difference.split(":")[0] for difference in recorded] == ["threads", "OMP_NUM_THREADS"]


def test_an_edited_configuration_is_a_difference(stopped, capsys):
    path = stopped.run_dir / "config.json"
    path.write_text(path.read_text().replace('"epochs": 2', '"epochs": 3'))
    assert cv.main(["--resume", str(stopped.run_dir)]) == 2
    assert "--epochs: 2 then, 3 now" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["rows", "folds"])
def test_rows_are_never_evaluated_by_models_that_saw_them(change, stopped, tiny_dir):
    if change == "rows":
        table = tiny_dir / "train.csv"
        lines = table.read_text().splitlines(keepends=True)
        table.write_text("".join([lines[0], *reversed(lines[1:])]))
    else:
        np.save(stopped.run_dir / "folds.npy", np.roll(np.load(stopped.run_dir / "folds.npy"), 1))
    with expect_error("run.other_data" if change == "rows" else "run.other_folds", UnusableRunError):
        cv.main(["--resume", str(stopped.run_dir), "--allow-inexact", "--debug"])


def test_only_the_command_that_started_a_run_resumes_it(stopped):
    with expect_error("run.other_command", received="cv", expected="train"):
        train.main(["--resume", str(stopped.run_dir), "--debug"])


@pytest.mark.parametrize(
    ("code", "flags"),
    [
        ("not_with_resume", ["--epochs", "3"]),
        ("flag_unknown", ["--debugg"]),
        ("not_with_resume", ["--model", "padded"]),
    ],
)
def test_resuming_takes_no_other_flag(code, flags, stopped):
    with expect_error(f"cli.{code}"):
        cv.main(["--resume", str(stopped.run_dir), *flags, "--debug"])


def test_a_folder_without_a_run_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    for place in ("nowhere", str(tmp_path / "empty")):
        with expect_error("run.no_run", UnusableRunError, path=place):
            cv.main(["--resume", place, "--debug"])


def test_a_run_folder_of_the_first_version_is_refused_in_one_line(stopped, capsys):
    path = stopped.run_dir / "config.json"
    path.write_text(path.read_text().replace('"subcommand"', '"verb"'))
    assert cv.main(["--resume", str(stopped.run_dir)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_another_commands_submission_is_kept_and_a_resumed_run_finds_its_own(stopped, whole):
    stopped.submission.write_text("theirs")
    result = resume(stopped.run_dir, "cv")
    assert stopped.submission.read_text() == "theirs"
    assert result.submission_path == stopped.run_dir / "submission-2.csv"
    assert hash_file(result.submission_path) == hash_file(whole.submission)


@pytest.mark.compiled
def test_a_single_split_is_resumed_with_its_curve(tiny_dir, monkeypatch):
    recipe = RECIPES["dropout, augmentation, one cycle"]
    whole, stopped = configure(tiny_dir, "whole", recipe), configure(tiny_dir, "stopped", recipe)
    run_cross_validation(whole, single_split=True)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match="train --resume"):
        StopAfterSaving(patch)
        run_cross_validation(stopped, single_split=True)
    own = json.loads((stopped.run_dir / "environment.json").read_text())["run"]
    assert load_checkpoint(stopped.run_dir, own)[0].trainings[0].epoch == 1
    assert train.main(["--resume", str(stopped.run_dir)]) == 0
    assert hash_results(stopped) == hash_results(whole)
    assert read_history(stopped) == read_history(whole) and "val_loss" in read_history(stopped)[0]
