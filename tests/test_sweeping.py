"""Sweeps: every trial once, whatever stops them, and nothing of other data or other versions mixed in."""

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import expect_error, write_tiny_data
from small_sweep import STUDY, change_data, prepare_sweep
from sweep_records import make_record, make_study

from digit_recognizer import sweep as command
from digit_recognizer.data.dataset import load_dataset
from digit_recognizer.errors import DivergedError, InputError, PrunedError, WriteError, explain_defect
from digit_recognizer.sweeps import sweeping
from digit_recognizer.sweeps.ensembles import ENSEMBLES, load_ensembles
from digit_recognizer.sweeps.sweeping import (
    PruningCallback,
    SharedData,
    SweepConfig,
    TrialProgress,
    TrialTask,
    execute_trial,
    measure_memory,
    sweep,
)
from digit_recognizer.sweeps.trials import TRIALS, Trial, load_trials
from digit_recognizer.training.cross_validation import run_cross_validation

pytestmark = pytest.mark.usefixtures("undrawn")
GRID = STUDY.replace("split_seed = 0\n", "").replace("[4]", "[4, 8]")


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A sweep of one configuration with two seeds, which hold out the same rows."""
    monkeypatch.chdir(tmp_path)
    return prepare_sweep(tmp_path)


@pytest.fixture
def study(tmp_path):
    """The file of a study of two configurations with two seeds."""
    write_tiny_data(tmp_path / "tiny")
    path = tmp_path / "small.toml"
    path.write_text(GRID)
    return path


def strip(records):
    """What must not depend on when, or how often, a sweep was stopped."""
    varying = {"data": "", "commit": ""}  # whoever commits while tests run changes it
    return [dataclasses.replace(one, seconds=0.0, environment={**one.environment, **varying}) for one in records]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a sweep that nobody stopped, and its records."""
    folder = tmp_path_factory.mktemp("whole")
    write_tiny_data(folder / "tiny")
    (folder / "small.toml").write_text(GRID)
    return folder / "sweep", sweep(SweepConfig(folder / "small.toml", folder / "sweep", folder / "tiny"))


def stop_after(monkeypatch, *epochs):
    """Interrupt after the epochs with these numbers, counted over all trials; gives the list of epochs so far."""
    plain, seen = PruningCallback.on_epoch_end, []

    def on_epoch_end(callback, epoch, logs=None):
        plain(callback, epoch, logs)
        if "replayed" not in (logs or {}):
            seen.append(epoch)
        if len(seen) in epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(PruningCallback, "on_epoch_end", on_epoch_end)
    return seen


def test_a_line_has_what_train_finds(whole, study, tmp_path):
    records = whole[1]
    units = [(record.configuration["model_args.units"], record.seed) for record in records]
    assert units == [(4, 0), (8, 0), (4, 1), (8, 1)]
    config = sweeping.load_study(study).build_config({"model_args.units": 8}, 1)
    result = run_cross_validation(config.replace(run_dir=tmp_path / "train", limit_test=0), single_split=True)
    record = records[3]
    assert record.accuracy == result.score.oof_accuracy and record.untrained == result.untrained_accuracy
    assert record.val_curve[-1] == pytest.approx(record.accuracy, abs=1e-6) and len(record.val_curve) == 3
    assert record.held_out_rows == 30, "60 rows, half of them held out"
    assert sum(record.confusion[label][label] for label in range(10)) == round(30 * record.accuracy)
    assert record.parameters == 784 * 8 + 8 + 8 * 8 + 8 + 8 * 10 + 10


@pytest.mark.slow
def test_a_sweep_that_is_stopped_again_and_again_ends_with_the_same_trials(whole, study, tmp_path, monkeypatch):
    config = SweepConfig(study, tmp_path / "sweep")
    for epoch in (1, 2, 4):  # in the first epoch, in the second, and in a later trial
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            stop_after(patch, epoch)
            sweep(config)
    records = sweep(config)
    assert strip(records) == strip(whole[1])
    for record in records:
        metrics = json.loads((tmp_path / "sweep" / "trials" / record.name / "metrics.json").read_text())
        assert record.seconds >= round(metrics["elapsed_seconds"], 3), "the time of all sessions"


def test_a_trial_that_ended_is_not_run_again(config, monkeypatch):
    first = sweep(dataclasses.replace(config, trials=1))
    assert len(first) == 1
    run, plain = [], sweeping.run_trial
    monkeypatch.setattr(sweeping, "run_trial", lambda *given: run.append(given) or plain(*given))
    assert sweep(config)[:1] == first and len(run) == 1
    assert sweep(config)[:1] == first and len(run) == 1


@pytest.mark.parametrize(
    ("values", "code"),
    [('augmentation = ["none", "flip"]', None), ("devices = [1, 2]", None), ("cached_augmentations = [1, 8]", None),
     ("folds = [2, 50]", None)],
    ids=["augmentation", "devices", "cache", "folds"],
)  # fmt: skip
def test_what_these_data_or_this_backend_cannot_do_is_refused_before_any_trial(study, tmp_path, values, code):
    if "devices" in values and keras.config.backend() == "jax":
        pytest.skip("JAX can use several devices")
    text = GRID.replace("model_args.units = [4, 8]", values)
    study.write_text(text.replace("folds = 2\n", "") if "folds" in values else text)
    with pytest.raises(InputError):
        sweep(SweepConfig(study, tmp_path / "sweep"))
    assert not (tmp_path / "sweep" / TRIALS).exists()


@pytest.mark.parametrize("error", [DivergedError("test.diverged"), IndexError("nobody foresaw that")])
def test_trials_that_fail_do_not_end_the_sweep(error, study, tmp_path, monkeypatch, capsys):
    study.write_text(GRID.replace("[4, 8]", "[4, 2000]"))
    plain = sweeping.run_cross_validation

    def diverge(config, **given):
        if config.seed == 1:
            raise error
        return plain(config, **given)

    monkeypatch.setattr(sweeping, "run_cross_validation", diverge)
    records = sweep(SweepConfig(study, tmp_path / "sweep"))
    assert [record.state for record in records] == ["done", "failed", "failed", "failed"]
    assert all(record.reason and record.accuracy is None for record in records[1:])
    assert "note: the trials of units 2000 will fail" in capsys.readouterr().out


def test_an_unpromising_trial_is_pruned_and_its_model_removed(study, tmp_path, monkeypatch):
    study.write_text(
        GRID.replace("[4, 8]", "[4, 8, 16]").replace("seeds = 2", 'seeds = 2\nprune = "median"\nat_once = 2')
    )
    seen = []

    def judge(curve, earlier):
        seen.append(len(earlier))
        return len(earlier) == 2 and len(curve) == 2

    monkeypatch.setattr(sweeping, "is_unpromising", judge)
    records = sweep(SweepConfig(study, tmp_path / "sweep"))
    assert [(record.configuration["model_args.units"], record.seed, record.state) for record in records] == [
        (4, 0, "done"), (8, 0, "done"), (4, 1, "done"), (8, 1, "done"), (16, 0, "pruned"),
    ]  # fmt: skip
    assert set(seen) == {0, 2} and len(records[-1].val_curve) == 2
    assert records[-1].accuracy == records[-1].val_curve[-1]
    left = [path.name for path in (tmp_path / "sweep" / "trials" / records[-1].name).iterdir()]
    assert not [name for name in left if "state" in name or name == "models"]


def test_a_run_in_its_last_epoch_is_not_pruned(monkeypatch):
    monkeypatch.setattr(sweeping, "is_unpromising", lambda curve, earlier: True)
    callback = PruningCallback([(0.9, 0.9)], epochs=1)
    callback.on_epoch_end(0, {"val_accuracy": 0.1, "accuracy": 0.1})
    with pytest.raises(PrunedError):
        PruningCallback([(0.9, 0.9)], epochs=2).on_epoch_end(0, {"val_accuracy": 0.1, "accuracy": 0.1})


@pytest.mark.slow
def test_minutes_count_over_all_sessions_of_one_version_of_the_study(study, tmp_path):
    config = SweepConfig(study, tmp_path / "sweep", minutes=1e-6)
    assert len(sweep(config)) == 1 and len(sweep(config)) == 1
    study.write_text(GRID.replace("epochs = 3", "epochs = 1"))
    assert len(sweep(config)) == 2


@pytest.mark.parametrize("budget", [{"trials": 0}, {"minutes": -1.0}, {"minutes": float("nan")}])
def test_a_budget_of_nothing_is_refused(study, budget):
    with expect_error("sweep.budget", column=f"--{next(iter(budget))}"):
        sweep(SweepConfig(study, **budget))


def test_two_processes_do_not_sweep_in_one_folder(study, tmp_path):
    from digit_recognizer.io import claim_folder

    (tmp_path / "sweep").mkdir()
    held = claim_folder(tmp_path / "sweep")
    with pytest.raises(InputError):
        sweep(SweepConfig(study, tmp_path / "sweep"))
    held.release()


@pytest.mark.slow
def test_grids_of_different_models_are_run_side_by_side(study, tmp_path):
    other = '[[grid]]\nmodel = "dense"\nmodel_args.units = 4\n[[grid]]\nmodel = "narrow"\nmodel_args.kernel_px = 3\n'
    grid = "[[grid]]\nmodel_args.units = [4, 8]\n"
    study.write_text(GRID.replace('model = "dense"\n', "").replace(grid, other))
    records = sweep(SweepConfig(study, tmp_path / "sweep", trials=2))
    assert [record.configuration["model"] for record in records] == ["dense", "narrow"]


def test_weights_that_cannot_be_had_stop_the_sweep_and_fail_no_trial(study, tmp_path):
    text = GRID.replace('model = "dense"', 'model = "vgg16"\nweights = "gone.h5"\naugmentation = "none"')
    study.write_text(text.replace("model_args.units = [4, 8]", "batch_size = [5, 10]").replace("batch_size = 30\n", ""))
    with pytest.raises(InputError):
        sweep(SweepConfig(study, tmp_path / "sweep"))
    assert load_trials(tmp_path / "sweep" / TRIALS) == []


# What a sweep takes over from earlier sessions, and what it must not.


@pytest.mark.parametrize("rows", [50, pytest.param(60, marks=pytest.mark.slow)])
def test_a_finished_trial_of_other_data_is_run_again(config, tmp_path, rows):
    config = dataclasses.replace(config, trials=1)
    first = sweep(config)
    (tmp_path / "sweep" / TRIALS).unlink()
    change_data(tmp_path / "tiny", rows)
    again = sweep(config)
    assert again[0].name == first[0].name
    assert again[0].environment["train.csv"] != first[0].environment["train.csv"]
    assert again[0].held_out_rows == rows // 2


@pytest.mark.slow
def test_trials_and_ensembles_of_other_data_are_not_mixed(config, tmp_path):
    sweep(config)
    kept = (tmp_path / "sweep" / ENSEMBLES).read_bytes()
    change_data(tmp_path / "tiny")
    with expect_error("sweep.other_data"):
        sweep(config)
    assert (tmp_path / "sweep" / ENSEMBLES).read_bytes() == kept


def test_a_finished_trial_whose_line_is_lost_is_read_again(config, tmp_path, monkeypatch):
    config = dataclasses.replace(config, trials=1)
    first = sweep(config)
    (tmp_path / "sweep" / TRIALS).unlink()
    monkeypatch.setattr(sweeping, "run_cross_validation", None)
    assert strip(sweep(config)) == strip(first)


@pytest.mark.slow
def test_a_precision_that_was_resolved_once_is_kept(config, tmp_path, monkeypatch):
    config.study.write_text(STUDY.replace('precision = "float32"\n', ""))
    monkeypatch.setattr(sweeping, "resolve_precision", lambda _, requested: "float32")
    sweep(dataclasses.replace(config, trials=1))
    monkeypatch.setattr(sweeping, "resolve_precision", lambda _, requested: "bfloat16")  # a timing came out otherwise
    assert [one.environment["precision"] for one in sweep(config)] == ["float32", "float32"]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(InputError("trackers.any"), id="tracker", marks=pytest.mark.slow),
        pytest.param(WriteError("io.full"), id="disk"),
    ],
)
def test_what_is_no_fault_of_a_half_done_trial_leaves_it_as_it_is(config, tmp_path, monkeypatch, fault):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, 2)
        sweep(config)
    (folder,) = (tmp_path / "sweep" / "trials").iterdir()
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.name.startswith("state")}
    assert before

    def fail(*_, **__):
        raise fault

    with monkeypatch.context() as patch, expect_error(fault.code) as caught:
        patch.setattr(sweeping, "resume", fail)
        sweep(config)
    assert ("resume with" in caught.value.remedy) == isinstance(fault, WriteError)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir() if path.name.startswith("state")}


@pytest.mark.slow
def test_a_trial_that_another_version_started_is_started_again(config, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, 1)
        sweep(config)
    (folder,) = (tmp_path / "sweep" / "trials").iterdir()
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, "of_another_version": 1}))
    (record,) = sweep(dataclasses.replace(config, trials=1))
    assert record.state == "done" and len(record.val_curve) == 3


def cut_history(folder):
    text = (folder / "history.csv").read_text()
    (folder / "history.csv").write_text(text[:-30])


def raise_accuracy(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps({**metrics, "oof_accuracy": 9.1}))


def put_another_run(folder):
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, "seed": 7}))


@pytest.mark.slow
@pytest.mark.parametrize("damage", [cut_history, raise_accuracy, put_another_run])
def test_a_finished_folder_that_is_damaged_is_run_again(config, tmp_path, whole, damage):
    config.study.write_text(GRID)
    shutil.copytree(whole[0], tmp_path / "sweep")
    expected = whole[1][0]
    (tmp_path / "sweep" / TRIALS).unlink()
    damage(tmp_path / "sweep" / "trials" / expected.name)
    (record,) = sweep(dataclasses.replace(config, trials=1))
    assert strip([record]) == strip([expected])


@pytest.mark.slow
def test_ensembles_are_of_one_version_of_the_study(config, tmp_path):
    page = tmp_path / "sweep" / "page.html"
    sweep(config)
    assert "Ensembles" in page.read_text()
    kept = load_ensembles(tmp_path / "sweep" / ENSEMBLES)
    config.study.write_text(STUDY.replace("epochs = 3", "epochs = 2"))
    sweep(dataclasses.replace(config, trials=1))
    assert "Ensembles" not in page.read_text()
    records = sweep(config)
    both = load_ensembles(tmp_path / "sweep" / ENSEMBLES)
    assert len(both) == 2 * len(kept) and both.iloc[len(kept) :].values.tolist() == kept.values.tolist()
    assert both.accuracy[0] == pytest.approx(np.mean([one.accuracy for one in records[2:]]), abs=1e-6)


@pytest.mark.slow
def test_ensembles_of_more_models_are_kept_if_their_folders_are_gone(config, tmp_path):
    sweep(config)
    path = tmp_path / "sweep" / ENSEMBLES
    kept = path.read_bytes()
    shutil.rmtree(tmp_path / "sweep" / "trials")
    assert sweep(config) and path.read_bytes() == kept
    config.study.write_text(STUDY.replace("seeds = 2", "seeds = 3"))
    sweep(config)
    assert path.read_bytes() == kept, "the one model that has a folder makes no ensemble"


@pytest.mark.slow
def test_a_page_of_no_trial_does_not_replace_one(config, tmp_path):
    sweep(config)
    page = (tmp_path / "sweep" / "page.html").read_bytes()
    config.study.write_text(STUDY.replace("epochs = 3", "epochs = 2"))
    with expect_error("sweep.no_trials", count=2):
        sweep(dataclasses.replace(config, page_only=True))
    assert (tmp_path / "sweep" / "page.html").read_bytes() == page


def test_a_trial_elsewhere_brings_its_files_back(config, monkeypatch):
    monkeypatch.setattr(sweeping, "find_commit", lambda: "abc1234")
    study = sweeping.load_study(config.study)
    run_config = study.build_config({"model_args.units": 4}, 0)
    trial = Trial.of(study, {"model_args.units": 4}, 0)
    shared = SharedData({(0, 1): load_dataset(run_config)}, None)
    record, files = execute_trial(shared, TrialTask(trial, run_config, commit="abc1234"))
    assert {"history.csv", "metrics.json", "oof_probabilities.npy"} <= set(files)
    assert record.environment["commit"] == "abc1234"


def test_the_eta_counts_trials_that_run_at_once(monkeypatch, capsys):
    clock = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    study = make_study(grids=({"batch_size": (10, 20, 30, 40, 50)},), seeds=1)
    progress = TrialProgress(study, [])
    clock[0] += 60  # two machines, a trial of a minute each
    for size in (10, 20):
        progress.report(make_record(study, {"batch_size": size}, 0, 0.9, seconds=60.0))
    assert capsys.readouterr().out.splitlines()[-1].endswith("ETA 1 min 30 s")


# The worker process of the command.


def test_a_process_that_has_grown_stops_between_two_trials(study, tmp_path, monkeypatch):
    table, known = tmp_path / "sweep" / TRIALS, sweeping.load_study(study)

    def execute(shared, task):  # nothing is trained
        environment = sweeping.describe_environment(next(iter(shared.datasets.values())), task, tmp_path)
        given = task.trial.configuration, task.trial.seed, 0.5
        return make_record(known, *given, environment=environment), {}

    monkeypatch.setattr(sweeping, "execute_trial", execute)
    monkeypatch.setattr(sweeping, "measure_memory", lambda: len(load_trials(table)))
    config = SweepConfig(study, tmp_path / "sweep")
    assert sweep(config, max_growth_bytes=1) is None and len(load_trials(table)) == 2
    assert len(sweep(config)) == 4, "without a limit it runs all"


def test_the_command_replaces_a_worker_that_has_grown(study, monkeypatch):
    codes, given = [command.GROWN, command.GROWN, 0], []
    monkeypatch.setattr(command, "_run_worker", lambda arguments: given.append(arguments) or codes.pop(0))
    with pytest.raises(SystemExit, match="0"):
        command.main([str(study), "--debug"])
    assert codes == [] and given == [(str(study), "--debug")] * 3
    monkeypatch.setattr(command, "_run_worker", lambda arguments: -signal.SIGKILL)
    with expect_error("sweep.worker", received="SIGKILL"):
        command.main([str(study), "--debug"])


def test_a_worker_says_by_its_exit_code_whether_it_must_be_replaced(study, monkeypatch):
    monkeypatch.setenv(command.WORKER, "1")
    monkeypatch.setattr(command.threading, "Thread", lambda **_: types.SimpleNamespace(start=lambda: None))
    monkeypatch.setattr(sweeping, "sweep", lambda *_: [])
    assert command.main([str(study)]) == 0
    monkeypatch.setattr(sweeping, "sweep", lambda *_: explain_defect(IndexError("nobody foresaw that"), study) and [])
    assert command.main([str(study)]) == 1
    monkeypatch.setattr(sweeping, "sweep", lambda *_: None)
    with pytest.raises(SystemExit) as stop:
        command.main([str(study)])
    assert stop.value.code == command.GROWN


def test_a_worker_is_a_process_of_the_same_command(capfd):
    assert command._run_worker(["--help"]) == 0
    assert "digit_recognizer.sweep STUDY" in capfd.readouterr().out


@pytest.mark.parametrize("sessions", [True, False])
def test_ctrl_c_is_passed_on_where_a_worker_has_a_session_of_its_own(sessions, monkeypatch):
    """Windows has no sessions, knows no signals of other processes, and sends Ctrl-C to the worker itself."""
    sent, waits = [], iter([KeyboardInterrupt(), 130])

    class Worker(contextlib.nullcontext):
        send_signal = sent.append

        def wait(self):
            if isinstance(answer := next(waits), KeyboardInterrupt):
                raise answer
            return answer

    def start(_, **options):
        assert options["start_new_session"] == sessions
        worker = Worker()
        worker.enter_result = worker
        return worker

    if not sessions:
        monkeypatch.delattr(os, "setsid")
    monkeypatch.setattr(command.subprocess, "Popen", start)
    assert command._run_worker([]) == 130 and sent == [signal.SIGINT] * sessions


def test_memory_is_unknown_on_windows(monkeypatch):
    def refuse(path, **_):
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", refuse)
    assert measure_memory() > 0
    monkeypatch.setitem(sys.modules, "resource", None)
    assert measure_memory() == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_worker_does_not_outlive_a_command_that_is_ended(config, tmp_path, number):
    config.study.write_text(STUDY.replace("epochs = 3", "epochs = 30000"))
    arguments = [sys.executable, "-m", "digit_recognizer.sweep", "small.toml", "--run-dir", "sweep"]
    process = subprocess.Popen(arguments, cwd=tmp_path, start_new_session=True)
    wait_for(lambda: list(tmp_path.glob("sweep/trials/*/state*")))
    os.kill(process.pid, number)
    code = process.wait(60)
    assert code == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[number]

    def is_free():
        from filelock import FileLock, Timeout

        try:
            FileLock(tmp_path / "sweep" / ".lock").acquire(0).lock.release()
        except Timeout:
            return False
        return True

    wait_for(is_free, 20)


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
