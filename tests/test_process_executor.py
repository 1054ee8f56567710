"""Runs and sweeps in processes side by side on this machine."""

import os
import pickle
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import keras
import pandas as pd
import pytest
from conftest import expect_error, write_tiny_data
from resuming import RECIPES, StopAfterSaving, configure, hash_results

from digit_recognizer import runs
from digit_recognizer.config import RunConfig
from digit_recognizer.errors import LostError, UnusableRunError
from digit_recognizer.io import hash_file
from digit_recognizer.sweeps.sweeping import SweepConfig, sweep
from digit_recognizer.training import executors, process_executor
from digit_recognizer.training.cross_validation import cross_validate, resume, run_cross_validation
from digit_recognizer.training.executors import (
    DefaultExecutor,
    Executor,
    ExecutorConfig,
    count_threads,
    map_in_order,
    open_executor,
    run_task,
)
from digit_recognizer.training.process_executor import ProcessExecutor
from digit_recognizer.training.reproducibility import compare_machines, describe_machine

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot bind processes")

RECIPE = {**RECIPES["dropout, augmentation, one cycle"], "augmentation": "all", "refit": 1, "refit_epochs": 1}
NAME_CORES = "__import__('os').sched_getaffinity(0)"


@pytest.fixture(scope="module")
def processes():
    with open_executor(ExecutorConfig(executor="processes")) as executor:
        yield executor


@pytest.fixture(scope="module")
def like_here():
    """Tasks have as many cores as this process has threads, so that runs there must equal runs here."""
    with open_executor(ExecutorConfig(executor="processes", task_cpus=count_threads())) as executor:
        yield executor


@pytest.fixture(scope="module")
def whole(processes, tmp_path_factory):
    """A run in processes, and the fold and epoch that a callback saw as each epoch ended."""
    config, seen = configure(write_tiny_data(tmp_path_factory.mktemp("whole") / "tiny"), "run", RECIPE), []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append((logs["fold"], epoch)))
    run_cross_validation(config, executor=processes, callbacks=[note])
    return config, seen


def test_tasks_run_side_by_side_on_cores_of_their_own(processes):
    wait = f"(sorted({NAME_CORES}), __import__('time').sleep(0.5))[0]"
    cores = list(map_in_order(processes, eval, [{}] * processes.count_slots(), wait))
    assert all(len(own) == 1 for own in cores)
    assert sorted(core for own in cores for core in own) == executors.ALLOWED_CORES[: len(cores)]


def test_results_come_in_the_order_of_the_tasks_and_workers_are_kept(processes):
    assert list(map_in_order(processes, pow, [3, 1, 2, 5], 10)) == [1000, 10, 100, 100_000]
    before = [worker.process.pid for worker in processes.idle]
    assert run_task(processes, pow, 3, 2) == 8
    assert sorted(before) == sorted(worker.process.pid for worker in processes.idle)


def test_workers_have_the_environment_of_this_process_but_for_threads(processes):
    config = RunConfig(precision="float32")
    fingerprint = run_task(processes, describe_machine, config)
    assert fingerprint == {**describe_machine(None, config), "threads": 1}


def test_a_task_between_others_leaves_what_these_share(processes):
    def make_tasks():
        for power in (1, 2, 3, 4):
            assert run_task(processes, pow, 2, 10) == 100
            yield power

    assert list(map_in_order(processes, pow, make_tasks(), 3)) == [3, 9, 27, 81]


def test_keras_own_callbacks_are_refused_where_they_would_have_no_model(processes, tiny_dir):
    with expect_error("machines.keras_callback", received="EarlyStopping"):
        cross_validate("dense", tiny_dir / "train.csv", callbacks=keras.callbacks.EarlyStopping(), executor=processes)


def test_an_executor_names_the_flags_that_open_it_again():
    assert ProcessExecutor(cpus=1).flags == ("--executor", "processes", "--task-cpus", "1")


def test_an_error_of_a_task_is_raised_here_and_the_executor_stays_usable(processes):
    fingerprint = run_task(processes, describe_machine, config := RunConfig(precision="float32"))
    with expect_error("machines.different"):
        run_task(processes, compare_machines, config, {**fingerprint, "keras": "2.0"})
    with pytest.raises(ZeroDivisionError) as raised:
        run_task(processes, eval, {}, "1 / 0")
    assert "Traceback" in raised.value.__notes__[0]
    with pytest.raises(EOFError):  # one of its own, and not the end of the connection
        run_task(processes, eval, {}, "(_ for _ in ()).throw(EOFError())")
    with pytest.raises(RuntimeError, match="lambda"):  # it holds what cannot be sent
        run_task(processes, eval, {}, "(_ for _ in ()).throw(ValueError(lambda: 'lambda'))")
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):  # a result that cannot be sent
        run_task(processes, eval, {}, "lambda: 1")
    assert run_task(processes, pow, 3, 2) == 8


def test_processes_ignore_ctrl_c_because_this_one_ends_them(processes):
    send = "[__import__('os').kill(__import__('os').getpid(), n) for n in (1, 2, 15)]"
    assert run_task(processes, eval, {}, send) == [None, None, None]


@pytest.mark.slow
@pytest.mark.compiled  # as the workers compile
def test_a_run_in_processes_equals_a_local_one_to_the_byte(like_here, tiny_dir):
    here, there = (configure(tiny_dir, name, RECIPE) for name in ("here", "there"))
    run_cross_validation(here)
    run_cross_validation(there, executor=like_here)
    assert hash_results(there) == hash_results(here)
    names = ("fold0.safetensors", "fold1.safetensors", "refit0.safetensors")
    weights = [[hash_file(run.run_dir / "models" / name) for name in names] for run in (here, there)]
    assert weights[0] == weights[1]
    histories = [pd.read_csv(run.run_dir / "history.csv").drop(columns="seconds") for run in (here, there)]
    assert histories[0].equals(histories[1])
    assert histories[0]["fold"].tolist() == [0, 0, 1, 1, 2]


@pytest.mark.compiled
def test_a_run_that_is_stopped_with_two_models_under_way_is_resumed_exactly(processes, whole, tiny_dir, monkeypatch):
    stopped = configure(tiny_dir, "stopped", RECIPE)

    def resume_there():
        resume(stopped.run_dir, "cv", executor=processes)

    with monkeypatch.context() as patch:
        StopAfterSaving(patch, saves=2)
        for start in (lambda: run_cross_validation(stopped, executor=processes), resume_there):
            with pytest.raises(KeyboardInterrupt, match=r"--resume .* --executor processes"):
                start()
            assert runs(stopped.run_dir.parent)["resume"].dropna().item().endswith("stopped --executor processes")
    if count_threads() > 1:  # on one core both executors have a thread
        with pytest.raises(UnusableRunError) as refused:
            resume(stopped.run_dir, "cv")
        assert refused.value.details["differences"].startswith("--executor processes then; threads: 1 then")
    resume_there()
    assert hash_results(stopped) == hash_results(whole[0])


def test_every_epoch_is_logged_and_seen_by_callbacks_as_it_ends(whole):
    config, seen = whole
    assert sorted(seen) == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]
    log = (config.run_dir / "log.txt").read_text()
    lines = [f"{name}  epoch   {epoch}/2" for name in ("fold 0 [1/2]", "fold 1 [2/2]") for epoch in (1, 2)]
    assert all(log.count(line) == 1 for line in [*lines, "refit 0  epoch   1/1"])


# The next two end the processes of the module, and what runs there after them waits for new ones.


def test_a_process_that_dies_is_one_line(processes):
    with expect_error("machines.process_lost", LostError, received=-9, cpus=1):
        run_task(processes, eval, {}, "__import__('os').kill(__import__('os').getpid(), 9)")
    assert run_task(processes, pow, 3, 2) == 8


def test_a_process_that_dies_in_the_middle_of_a_message_is_lost_too(processes):
    large = "__import__('digit_recognizer.training.executors', fromlist=['x']).send_report(bytes(30_000_000))"
    results = processes.map_as_completed(eval, [{}], large, lambda number, content: None)
    receive = process_executor._Worker.receive

    def receive_late(worker):
        worker.process.kill()  # the message has begun, and is larger than the buffer
        worker.process.wait()
        return receive(worker)

    with pytest.MonkeyPatch.context() as patch, expect_error("machines.process_lost", LostError, received=-9):
        patch.setattr(process_executor._Worker, "receive", receive_late)
        list(results)


@pytest.mark.slow
def test_a_sweep_in_processes_equals_a_local_one(like_here, tiny_dir, tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(
        'title = "Small"\nseeds = 2\ninput_dir = "tiny"\n[fixed]\nmodel = "dense"\nepochs = 2\nfolds = 2\n'
        "batch_size = 10\n[[grid]]\nmodel_args.units = [4, 8]\n"
    )
    here = sweep(SweepConfig(path, tmp_path / "here"))
    there = sweep(SweepConfig(path, tmp_path / "there"), like_here)
    assert [replace(one, seconds=0) for one in sorted(there, key=str)] == [
        replace(one, seconds=0) for one in sorted(here, key=str)
    ]


ORPHAN = """
import os
from digit_recognizer.training.process_executor import ProcessExecutor
executor = ProcessExecutor(cpus=1)
list(executor.map_as_completed(eval, [{}], "None"))
print(executor.idle[0].process.pid, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.slow
def test_no_process_outlives_the_one_that_started_it(tmp_path):
    script = tmp_path / "orphan.py"
    script.write_text(ORPHAN)
    output = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120).stdout
    path = f"/proc/{output.split()[-1]}"
    for _ in range(100):
        if not Path(path).exists():
            return
        time.sleep(0.1)
    pytest.fail("it is still there")


def test_only_long_work_of_several_models_goes_to_processes_by_default(monkeypatch):
    monkeypatch.setattr(executors, "ALLOWED_CORES", [0, 1])
    default, opened = DefaultExecutor(), []
    two = ProcessExecutor(cpus=1)
    monkeypatch.setattr(two, "count_slots", lambda: 2)
    monkeypatch.setattr(executors, "_open_processes", lambda cpus: opened.append(cpus) or two)
    with default.choose(executors.LONG_WORK - 1) as chosen:
        assert chosen is default and chosen.is_local
    assert opened == []
    assert default.choose(executors.LONG_WORK) is two and opened == [1]
    assert two.flags == ()  # the run is resumed as it was started
    monkeypatch.setattr(two, "count_slots", lambda: 1)  # there is memory for one model
    with default.choose(executors.LONG_WORK) as chosen:
        assert chosen is default
    for cores in ([0], []):  # none are known where processes cannot be bound
        monkeypatch.setattr(executors, "ALLOWED_CORES", cores)
        with default.choose(executors.LONG_WORK) as chosen:
            assert chosen is default
    assert opened == [1, 1]


class Here(Executor, nullcontext):
    """Seems to have room for two tasks, and runs them in this process."""

    def __enter__(self):
        return self

    def count_slots(self):
        return 2


def test_python_does_as_the_command_but_stays_here_with_callbacks(monkeypatch, tiny_dir):
    monkeypatch.setattr(executors, "ALLOWED_CORES", [0, 1])
    monkeypatch.setattr(executors, "LONG_WORK", 1)
    opened, settings = [], {"folds": 2, "epochs": 1, "precision": "float32"}
    monkeypatch.setattr(executors, "_open_processes", lambda cpus: opened.append(cpus) or Here())
    cross_validate("dense", tiny_dir / "train.csv", run_dir=tiny_dir.parent / "one", **settings)
    assert opened == [1]
    callback = keras.callbacks.Callback()
    cross_validate("dense", tiny_dir / "train.csv", run_dir=tiny_dir.parent / "two", callbacks=callback, **settings)
    assert opened == [1]


def test_an_executor_that_was_named_stays(monkeypatch):
    executor = Executor()
    with executor.choose(10**9) as chosen:
        assert chosen is executor


def test_little_memory_allows_fewer_tasks_at_once(monkeypatch):
    monkeypatch.setattr(executors, "ALLOWED_CORES", [0, 1, 2, 3])
    for gib, slots in ((16, 4), (6, 3), (4, 1), (1, 1)):
        monkeypatch.setattr(process_executor, "find_memory", lambda gib=gib: gib << 30)
        assert ProcessExecutor(cpus=1).count_slots() == slots


def test_memory_is_that_of_the_machine_or_less():
    assert 1 << 28 < process_executor.find_memory() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
