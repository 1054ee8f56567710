"""Where tasks run, as far as that needs no cluster."""

import os
import socket
import subprocess
import sys
import tempfile
import types

import pytest
import windows_rules
from conftest import expect_error
from resuming import configure

from digit_recognizer import cv
from digit_recognizer.config import RunConfig
from digit_recognizer.errors import LostError
from digit_recognizer.sweeps.sweeping import SweepConfig, sweep
from digit_recognizer.training import executors, ray_executor
from digit_recognizer.training.cross_validation import run_cross_validation
from digit_recognizer.training.executors import (
    Executor,
    ExecutorConfig,
    count_threads,
    map_in_order,
    open_executor,
    run_task,
)


class Backwards(Executor):
    """Finishes the last task first."""

    is_local = False

    def map_as_completed(self, function, tasks, shared, on_report=None):
        yield from reversed(list(Executor().map_as_completed(function, tasks, shared)))


@pytest.mark.parametrize("executor", [Executor(), Backwards()])
def test_results_come_in_the_order_of_the_tasks(executor):
    assert list(map_in_order(executor, pow, [3, 1, 2], 10)) == [1000, 10, 100]
    assert run_task(executor, pow, 3, 2) == 8


class Lost(Executor):
    """Machines that are gone before they have done anything."""

    is_local = False

    def map_as_completed(self, function, tasks, shared, on_report=None):
        raise LostError("machines.head_lost", received="127.0.0.1:9")


def test_a_lost_cluster_is_reported_with_the_command_that_resumes(tiny_dir, tmp_path):
    run = configure(tiny_dir, "run", {"model": "dense", "epochs": 1, "batch_size": 10})
    with pytest.raises(LostError, match=r"--resume .*run"):
        run_cross_validation(run, executor=Lost())
    study = tmp_path / "small.toml"
    study.write_text('title = "Small"\ninput_dir = "tiny"\n[fixed]\nmodel = "dense"\n[[grid]]\nepochs = 1\n')
    with pytest.raises(LostError):
        sweep(SweepConfig(study, tmp_path / "swept"), Lost())


def test_a_silent_head_is_lost_and_one_that_answers_is_not(monkeypatch):
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    import ray

    monkeypatch.setattr(ray_executor, "HEAD_SECONDS", 0.0)
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 2}}, {"Alive": False}])
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        context = types.SimpleNamespace(gcs_address=address)
        monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
        assert ray_executor._list_nodes() == [{"CPU": 2}]
    with expect_error("machines.head_lost", LostError, received=address):
        ray_executor._list_nodes()


def test_locally_a_task_is_taken_only_when_the_last_result_was_used():
    taken = []
    results = map_in_order(Executor(), pow, (taken.append(n) or n for n in range(9)), 2)
    next(results)
    assert taken == [0]


@pytest.mark.parametrize(
    ("flags", "code", "received"),
    [
        (["--task-cpus", "0"], "config.too_low", 0),
        (["--task-gpus", "-1"], "config.too_low", -1.0),
        (["--task-gpus", "nan"], "config.too_low", "nan"),
        (["--task-gpus", "1"], "machines.needs_ray", None),
        (["--ray-address", "auto"], "machines.needs_ray", None),
        (["--executor", "ray", "--ray-address", "127.0.0.1:9"], "machines.no_cluster", "127.0.0.1:9"),
        (["--executor", "ray", "--ray-address", "127.0.0.1:99999"], "machines.no_cluster", "127.0.0.1:99999"),
        (["--executor", "ray", "--ray-address", "there"], "machines.address", "there"),
        (["--executor", "ray", "--ray-address", "ray://there:10001"], "machines.address", "ray://there:10001"),
    ],
)
def test_machines_that_make_no_sense_are_refused(flags, code, received):
    with expect_error(code, received=received):
        cv.main([*flags, "--debug"])


def test_without_ray_its_executor_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with expect_error("install.missing", extra="ray"):
        cv.main(["--executor", "ray", "--debug"])


def test_threads_cannot_change_once_keras_is_imported():
    import keras  # noqa: F401 - it is there from here on

    with expect_error("machines.keras_is_imported"):
        cv.main(["--task-cpus", "64", "--debug"])


def test_machines_are_not_part_of_a_runs_configuration():
    assert not {*vars(ExecutorConfig())} & {*RunConfig().to_json()}


BIND = """
import os, sys
from digit_recognizer.training.executors import ExecutorConfig, open_executor
with open_executor(ExecutorConfig(task_cpus=1)):
    from digit_recognizer.training.reproducibility import describe_machine
    from digit_recognizer.config import RunConfig
    print(describe_machine(None, RunConfig(precision="float32"))["threads"], len(os.sched_getaffinity(0)))
"""


@pytest.mark.slow
def test_a_process_has_as_many_threads_as_it_asked_for():
    finished = subprocess.run([sys.executable, "-c", BIND], capture_output=True, text=True, timeout=240)
    assert finished.stdout == "1 1\n", finished.stderr


def test_every_thread_is_bound_to_the_cores_asked_for(monkeypatch):
    bound = []
    monkeypatch.setattr(executors, "list_cores", lambda count: [5, 6, 7])
    monkeypatch.setattr(os, "sched_setaffinity", lambda *given: bound.append(given))
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    with open_executor(ExecutorConfig(task_cpus=2 + count_threads())):
        assert (os.getpid(), [5, 6, 7]) in bound


HOLD = """
import os, sys
from pathlib import Path
from digit_recognizer.training.ray_executor import claim_cores
with claim_cores(int(sys.argv[1]), Path("locks")):
    print(*sorted(os.sched_getaffinity(0)), flush=True)
    sys.stdin.readline()
"""


def hold(count):
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", HOLD, str(count)], stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_no_two_processes_share_a_core_and_a_dead_one_has_none():
    everything = len(os.sched_getaffinity(0))
    first = hold(1)
    own = first.stdout.readline().split()
    assert len(own) == 1
    others = [hold(1) for _ in range(everything)]  # one of them has to wait
    first.kill()
    first.communicate()
    got = [other.stdout.readline().strip() for other in others]
    assert sorted(got) == sorted(map(str, os.sched_getaffinity(0)))
    for other in others:
        _, error = other.communicate("\n", timeout=60)
        assert other.returncode == 0, error


def test_more_cores_than_there_are_are_refused():
    _, error = hold(10_000).communicate(timeout=60)
    assert "InputError" in error


def test_a_long_folder_of_temporary_files_gets_a_short_one_for_sockets(monkeypatch):
    from digit_recognizer.training.ray_executor import find_socket_folder

    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    assert find_socket_folder() is None
    monkeypatch.setattr(tempfile, "tempdir", "/scratch/of/a/batch/queue/job_1355700/node/tmp")
    assert len(find_socket_folder() or "x" * 99) < 31


def test_a_system_that_cannot_bind_processes_is_one_line(monkeypatch):
    windows_rules.apply(monkeypatch)
    with expect_error("machines.cannot_bind"), ray_executor.claim_cores(1):
        pass
