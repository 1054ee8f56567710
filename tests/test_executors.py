"""Where tasks are done, as far as no cluster is needed."""

import os
import socket
import subprocess
import sys

import pytest
from resuming import configure

from digit_recognizer import cv
from digit_recognizer.config import RunConfig
from digit_recognizer.errors import InputError, LostError
from digit_recognizer.sweeps.sweeping import SweepConfig, sweep
from digit_recognizer.training import ray_executor
from digit_recognizer.training.cross_validation import cross_validate
from digit_recognizer.training.executors import LocalExecutor, Machines, do_task, map_in_order


class Backwards:
    """Finishes the last task first."""

    is_local = False

    def map_as_finished(self, function, tasks, shared):
        yield from reversed(list(LocalExecutor().map_as_finished(function, tasks, shared)))


@pytest.mark.parametrize("executor", [LocalExecutor(), Backwards()])
def test_results_come_in_the_order_of_the_tasks(executor):
    assert list(map_in_order(executor, pow, [3, 1, 2], 10)) == [1000, 10, 100]
    assert do_task(executor, pow, 3, 2) == 8


class Lost:
    """Machines that are gone before they have done anything."""

    is_local = False

    def map_as_finished(self, function, tasks, shared):
        raise LostError("nobody answers: start a cluster.")


def test_whoever_loses_the_machines_is_told_how_to_go_on(tiny_dir, tmp_path):
    run = configure(tiny_dir, "run", {"model": "dense", "epochs": 1, "batch_size": 10})
    with pytest.raises(LostError, match=r"start a cluster\. Then go on with: .*--resume .*run"):
        cross_validate(run, executor=Lost())
    study = tmp_path / "small.toml"
    study.write_text('title = "Small"\ninput_dir = "tiny"\n[fixed]\nmodel = "dense"\n[[grid]]\nepochs = 1\n')
    with pytest.raises(LostError, match=r"start a cluster\. Then go on with the same command"):
        sweep(SweepConfig(study, tmp_path / "swept"), Lost())


def test_a_head_that_is_gone_is_given_up_and_one_that_answers_is_not(monkeypatch):
    monkeypatch.setattr(ray_executor, "HEAD_SECONDS", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        ray_executor._await_head(address)
    with pytest.raises(LostError, match=f"head of the Ray cluster, {address}, does not answer any more: start one"):
        ray_executor._await_head(address)


def test_here_a_task_is_taken_only_when_the_one_before_it_has_been_used():
    taken = []
    results = map_in_order(LocalExecutor(), pow, (taken.append(n) or n for n in range(9)), 2)
    next(results)
    assert taken == [0]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--executor", "spark"], "spark"),
        (["--task-cpus", "0"], "--task-cpus takes a number of at least 1; received 0"),
        (["--task-gpus", "-1"], "--task-gpus takes a number of at least 0; received -1"),
        (["--task-gpus", "nan"], "--task-gpus takes a number of at least 0; received nan"),
        (["--task-gpus", "1"], "--task-gpus is for --executor ray"),
        (["--ray-address", "auto"], "--ray-address is for --executor ray"),
        (["--executor", "ray", "--ray-address", "127.0.0.1:9"], "--ray-address 127.0.0.1:9: nobody answers there"),
        (["--executor", "ray", "--ray-address", "127.0.0.1:99999"], "nobody answers there"),
        (["--executor", "ray", "--ray-address", "there"], "--ray-address takes host:port or auto"),
        (["--executor", "ray", "--ray-address", "ray://there:10001"], "--ray-address takes host:port or auto"),
    ],
)
def test_machines_that_cannot_be_meant_are_refused_in_one_line(flags, words, capsys):
    assert cv.main(flags) == 2
    message = capsys.readouterr().err
    assert words in message and message.count("\n") == 1


def test_without_ray_it_is_said_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert cv.main(["--executor", "ray"]) == 2
    assert capsys.readouterr().err == (
        "cv: --executor ray needs Ray, which is not installed: pip install -e '.[ray]'\n"
    )


def test_threads_are_settled_before_keras_is_there_or_not_at_all(capsys):
    import keras  # noqa: F401 - it is there from here on

    assert cv.main(["--task-cpus", "64"]) == 2
    assert "--task-cpus must be settled before Keras is imported" in capsys.readouterr().err


def test_machines_are_no_settings_of_a_run():
    assert not {*vars(Machines())} & {*RunConfig().to_json()}


BIND = """
import os, sys
from digit_recognizer.training.hardware import bind_process
bind_process(1)
from digit_recognizer.training.cross_validation import CLASSES
from digit_recognizer.training.reproducibility import describe_machine
from digit_recognizer.config import RunConfig
print(describe_machine(None, RunConfig(precision="float32"))["threads"], len(os.sched_getaffinity(0)))
"""


def test_a_bound_process_has_so_many_threads():
    finished = subprocess.run([sys.executable, "-c", BIND], capture_output=True, text=True, timeout=240)
    assert finished.stdout == "1 1\n", finished.stderr


HOLD = """
import os, sys
from pathlib import Path
from digit_recognizer.training.hardware import claim_cores
with claim_cores(int(sys.argv[1]), Path("locks")):
    print(*sorted(os.sched_getaffinity(0)), flush=True)
    sys.stdin.readline()
"""


def hold(count):
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", HOLD, str(count)], stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_no_two_processes_have_a_processor_in_common_and_a_dead_one_has_none():
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


def test_more_processors_than_a_machine_has_are_refused():
    holder = hold(10_000)
    _, error = holder.communicate(timeout=60)
    assert "--task-cpus takes at most the" in error and InputError.__name__ in error
