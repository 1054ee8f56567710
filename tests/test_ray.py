"""A small cluster of Ray, started once on this machine."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from resuming import RECIPES, StopAfterSaving, configure, hash_results

from digit_recognizer.config import RunConfig
from digit_recognizer.errors import InputError
from digit_recognizer.sweeps.sweeping import SweepConfig, sweep
from digit_recognizer.training.cross_validation import cross_validate, resume
from digit_recognizer.training.executors import Machines, count_threads, do_task, map_in_order, open_executor
from digit_recognizer.training.reproducibility import compare_machines, describe_machine

RECIPE = RECIPES["dropout, augmentation, one cycle"]


@pytest.fixture(scope="module")
def cluster():
    """As many processors to a task as this process has threads, so that runs here are to be equal to runs there."""
    with open_executor(Machines(executor="ray", task_cpus=count_threads())) as executor:
        yield executor


def read_weights(config, fold):
    return keras.saving.load_model(config.run_dir / "models" / f"fold{fold}.keras").get_weights()


def test_a_run_on_a_cluster_is_the_run_here_to_the_byte(cluster, whole, tiny_dir, capsys):
    there = configure(tiny_dir, "there", RECIPE)
    seen = []
    cross_validate(there, executor=cluster, on_epoch=lambda history: seen.append(len(history)))
    assert hash_results(there) == hash_results(whole)
    for fold in range(2):
        for here, elsewhere in zip(read_weights(whole, fold), read_weights(there, fold), strict=True):
            assert np.array_equal(here, elsewhere)
    histories = [(config.run_dir / "history.csv").read_text().splitlines() for config in (whole, there)]
    without_seconds = [[row.rpartition(",")[0] for row in rows] for rows in histories]
    assert without_seconds[0] == without_seconds[1]
    assert seen == [1, 2, 3, 4], "who watches sees every epoch"
    environments = [json.loads((config.run_dir / "environment.json").read_text()) for config in (whole, there)]
    assert environments[0]["fingerprint"] == environments[1]["fingerprint"]
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("fold ")]
    assert [line.split("  left about ")[0].split("  ")[0] for line in lines if "left" in line] == [
        "fold 1/2",
        "fold 2/2",
    ]


def test_a_run_begun_here_goes_on_there_in_mid_fold(cluster, stopped, whole):
    resume(stopped.run_dir, "cv", executor=cluster)
    assert hash_results(stopped) == hash_results(whole)


def test_a_run_begun_there_goes_on_here(cluster, whole, tiny_dir, monkeypatch, capsys):
    there = configure(tiny_dir, "there", RECIPE)
    with monkeypatch.context() as patch:
        StopAfterSaving(patch)
        with pytest.raises(KeyboardInterrupt, match="--resume"):
            cross_validate(there, executor=cluster)
    resume(there.run_dir, "cv")
    assert "going on: 1 whole folds are kept" in capsys.readouterr().out
    assert hash_results(there) == hash_results(whole)


def test_a_task_whose_process_dies_is_done_again(cluster, tmp_path):
    die = "(open(name, 'x').close(), __import__('os').kill(__import__('os').getpid(), 9))"
    expression = f"n if __import__('os').path.exists(name) else {die}"
    tasks = [{"n": n, "name": str(tmp_path / str(n % 2))} for n in range(4)]
    assert list(map_in_order(cluster, eval, tasks, expression)) == [0, 1, 2, 3]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


def test_a_task_has_the_processors_and_the_switches_that_it_was_promised(cluster, monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    expression = "(len(__import__('os').sched_getaffinity(0)), *map(__import__('os').environ.get, names))"
    names = ["OMP_NUM_THREADS", "ONEDNN_MAX_CPU_ISA"]
    assert do_task(cluster, eval, {"names": names}, expression) == (count_threads(), None, "AVX2")


def test_tasks_are_taken_as_there_is_room_for_them(cluster):
    taken = []
    results = cluster.map_as_finished(eval, (taken.append(n) or {"n": n} for n in range(100)), "n")
    next(results)
    assert len(taken) <= cluster.count_slots() + 3
    assert sorted(result for _, result in results) == sorted({*range(100)} - {0}) and len(taken) == 100


def test_a_machine_that_would_round_otherwise_is_refused_by_name_and_another_processor_is_told(cluster):
    config = RunConfig(precision="float32")
    fingerprint = do_task(cluster, describe_machine, config)
    assert fingerprint == describe_machine(None, config)
    assert do_task(cluster, compare_machines, config, fingerprint) == []
    with pytest.raises(
        InputError, match=r"keras: 2\.0 then, .*: make it equal, or take it out of the cluster"
    ) as caught:
        do_task(cluster, compare_machines, config, {**fingerprint, "keras": "2.0"})
    assert "\n" not in str(caught.value)
    (difference,) = do_task(cluster, compare_machines, config, {**fingerprint, "processor": "abacus"})
    assert difference.startswith("processor: abacus then, ")


def test_a_run_on_machines_of_two_kinds_says_so_for_ever(cluster, tiny_dir, monkeypatch, capsys):
    monkeypatch.setattr("digit_recognizer.training.reproducibility.do_task", pretend_another_processor)
    config = configure(tiny_dir, "mixed", RECIPE)
    cross_validate(config, executor=cluster)
    recorded = json.loads((config.run_dir / "metrics.json").read_text())["resumed_with_differences"]
    assert [difference.split(" then")[0] for difference in recorded] == [
        f"fold {fold}: processor: abacus" for fold in (1, 2)
    ]
    assert capsys.readouterr().out.count("WARNING: not exactly as on the run's first machine") == 2


def pretend_another_processor(executor, function, task, shared=None):
    return {**do_task(executor, function, task, shared), "processor": "abacus"}


def test_a_size_that_no_machine_has_is_refused(cluster, monkeypatch):
    monkeypatch.setattr(cluster, "gpus", 3)
    with pytest.raises(InputError, match="--task-gpus 3 must fit on one machine, but the cluster's have at most"):
        cluster.check_size()


def test_a_sweep_on_a_cluster_finds_what_it_finds_here(cluster, tiny_dir, tmp_path):
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
