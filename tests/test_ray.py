"""Runs and sweeps on a small Ray cluster, started once on this machine."""

import json
from dataclasses import replace

import keras
import pandas as pd
import pytest
from conftest import expect_error
from resuming import RECIPES, StopAfterSaving, configure, hash_results

from digit_recognizer.config import RunConfig
from digit_recognizer.io import hash_file
from digit_recognizer.sweeps.sweeping import SweepConfig, sweep
from digit_recognizer.training.cross_validation import resume, run_cross_validation
from digit_recognizer.training.executors import ExecutorConfig, count_threads, map_in_order, open_executor, run_task
from digit_recognizer.training.reproducibility import compare_machines, describe_machine

pytestmark = pytest.mark.compiled  # as the workers compile

RECIPE = RECIPES["dropout, augmentation, one cycle"]


@pytest.fixture(scope="module")
def cluster():
    """A task has as many cores as this process has threads, so that runs there must equal runs here."""
    with open_executor(ExecutorConfig(executor="ray", task_cpus=count_threads())) as executor:
        yield executor


@pytest.fixture
def whole(tiny_dir):
    """The run that others must equal, trained here; that of conftest.py may have been trained in eager steps."""
    config = configure(tiny_dir, "whole", RECIPE)
    run_cross_validation(config)
    return config


class Epochs(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append((logs["fold"], epoch))


def test_a_run_on_a_cluster_equals_a_local_one_to_the_byte(cluster, whole, tiny_dir):
    there, epochs = configure(tiny_dir, "there", RECIPE), Epochs()
    run_cross_validation(there, executor=cluster, callbacks=[epochs])
    assert hash_results(there) == hash_results(whole)
    weights = [[hash_file(run.run_dir / "models" / f"fold{k}.safetensors") for k in (0, 1)] for run in (whole, there)]
    assert weights[0] == weights[1]
    histories = [pd.read_csv(config.run_dir / "history.csv").drop(columns="seconds") for config in (whole, there)]
    assert histories[0].equals(histories[1])
    assert epochs.seen == [(0, 0), (0, 1), (1, 0), (1, 1)], "callbacks see every epoch"
    environments = [json.loads((config.run_dir / "environment.json").read_text()) for config in (whole, there)]
    assert environments[0]["fingerprint"] == environments[1]["fingerprint"]


@pytest.mark.slow
def test_a_local_run_is_resumed_on_a_cluster_in_mid_fold(cluster, stopped, whole):
    resume(stopped.run_dir, "cv", executor=cluster)
    assert hash_results(stopped) == hash_results(whole)


@pytest.mark.slow
def test_a_run_on_a_cluster_is_resumed_locally(cluster, whole, tiny_dir, monkeypatch):
    there = configure(tiny_dir, "there", RECIPE)
    with monkeypatch.context() as patch:
        StopAfterSaving(patch)
        with pytest.raises(KeyboardInterrupt, match="--resume"):
            run_cross_validation(there, executor=cluster)
    resume(there.run_dir, "cv")
    assert hash_results(there) == hash_results(whole)


@pytest.mark.slow
def test_a_task_whose_process_dies_runs_again(cluster, tmp_path):
    die = "(open(name, 'x').close(), __import__('os').kill(__import__('os').getpid(), 9))"
    expression = f"n if __import__('os').path.exists(name) else {die}"
    tasks = [{"n": n, "name": str(tmp_path / str(n % 2))} for n in range(4)]
    assert list(map_in_order(cluster, eval, tasks, expression)) == [0, 1, 2, 3]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


def test_a_task_has_its_cores_and_the_drivers_variables(cluster, monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    expression = "(len(__import__('os').sched_getaffinity(0)), *map(__import__('os').environ.get, names))"
    names = ["OMP_NUM_THREADS", "ONEDNN_MAX_CPU_ISA"]
    assert run_task(cluster, eval, {"names": names}, expression) == (count_threads(), None, "AVX2")


def test_tasks_are_taken_as_the_cluster_has_capacity(cluster):
    taken = []
    results = cluster.map_as_completed(eval, (taken.append(n) or {"n": n} for n in range(100)), "n")
    next(results)
    assert len(taken) <= cluster.count_slots() + 3
    assert sorted(result for _, result in results) == sorted({*range(100)} - {0}) and len(taken) == 100


def test_workers_have_the_drivers_environment(cluster):
    config = RunConfig(precision="float32")
    fingerprint = run_task(cluster, describe_machine, config)
    assert fingerprint == describe_machine(None, config)
    with expect_error("machines.different"):  # the error of a task is raised here
        run_task(cluster, compare_machines, config, {**fingerprint, "keras": "2.0"})


@pytest.mark.slow
def test_another_processor_is_tolerated_and_recorded(cluster, tiny_dir, monkeypatch):
    monkeypatch.setattr("digit_recognizer.training.reproducibility.run_task", pretend_another_processor)
    config = configure(tiny_dir, "mixed", RECIPE)
    run_cross_validation(config, executor=cluster)
    recorded = json.loads((config.run_dir / "metrics.json").read_text())["resumed_with_differences"]
    assert len(recorded) == 2 and all("processor: abacus" in difference for difference in recorded)


def pretend_another_processor(executor, function, task, shared=None):
    return {**run_task(executor, function, task, shared), "processor": "abacus"}


def test_tasks_too_large_for_every_machine_are_refused(cluster, monkeypatch):
    monkeypatch.setattr(cluster, "gpus", 3)
    with expect_error("machines.too_small", received=f"--task-cpus {count_threads()} --task-gpus 3"):
        cluster.check_size()


@pytest.mark.slow
def test_a_sweep_on_a_cluster_equals_a_local_one(cluster, tiny_dir, tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(
        'title = "Small"\nseeds = 2\ninput_dir = "tiny"\n[fixed]\nmodel = "dense"\nepochs = 2\nfolds = 2\n'
        "batch_size = 10\n[[grid]]\nmodel_args.units = [4, 8]\n"
    )
    here = sweep(SweepConfig(path, tmp_path / "here"))
    there = sweep(SweepConfig(path, tmp_path / "there"), cluster)
    assert [replace(record, seconds=0) for record in there] == [replace(record, seconds=0) for record in here]
    for record in here:
        trials = [tmp_path / place / "trials" / record.name for place in ("here", "there")]
        names = [sorted(file.name for file in trial.iterdir() if file.name != ".lock") for trial in trials]
        assert names[0] == names[1] and "log.txt" in names[0]
        assert len({(trial / "oof_probabilities.npy").read_bytes() for trial in trials}) == 1
