"""Tasks on the machines of a Ray cluster (https://docs.ray.io), as many at once as it has capacity for.

This package is sent to the machines as it is on the driver; Python, Ray, Keras and its backend must be there. What all
tasks share goes into Ray's object store, and each machine fetches it once. If a machine is lost, its task runs again on
another; that costs time and changes no result.
"""

import contextlib
import itertools
import logging
import os
import pickle
import secrets
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

import digit_recognizer
from digit_recognizer.backend import import_keras, list_switches
from digit_recognizer.console import print_line, raise_if_interrupted
from digit_recognizer.errors import LONGEST_REASON, InputError, LostError, require
from digit_recognizer.io import lock_folder
from digit_recognizer.training.executors import Executor, bind_cores, count_threads, list_cores

# Set or unset on a worker as they are here: a backend reads them at its import, and its numbers may depend on them.
FORWARDED_VARIABLES = ("KERAS_BACKEND", "JAX_PLATFORMS", "TF_CPP_MIN_LOG_LEVEL", "NO_ALBUMENTATIONS_UPDATE")
SPARE_TASKS = 2  # submitted beyond those that can run at once, so that no machine waits for this process
WAIT_SECONDS = 15.0
RETRY_SECONDS = 0.05
CONNECT_SECONDS = 5.0
LONGEST_SOCKET_FOLDER = 30  # bytes
HEAD_SECONDS = 20.0  # without an answer until the head counts as lost; after 60, Ray ends this process silently


@contextlib.contextmanager
def open_ray(address: str | None, cpus: int, gpus: float) -> Iterator["RayExecutor"]:
    """Connect to a cluster, or start one on this machine; disconnect at the end, which stops running tasks.

    Args:
        address: host:port; "auto" for the cluster that this machine is part of; None starts one.
        cpus: cores of a task.
        gpus: GPUs of a task, or the share of one.

    Raises:
        InputError: if Ray is not installed, there is no such cluster, or none of its machines is large enough.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it reports usage to its makers otherwise
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # it warns of this future default
    ray = require("ray", "ray")
    size: dict[str, Any] = {}
    if address is None:
        # otherwise Ray would write a token into the home folder, for all clusters to come
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        size = {"num_cpus": count_threads(), "include_dashboard": False, "_temp_dir": find_socket_folder()}
    elif address != "auto":
        _check_address(address)
    in_main_thread = threading.current_thread() is threading.main_thread()  # only there can handlers be set
    handler = signal.getsignal(signal.SIGTERM)
    print_line(f"connecting to the Ray cluster at {address}" if address else "starting Ray on this machine")
    try:
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"py_modules": [str(Path(digit_recognizer.__file__).parent)]},
            **size,
        )
    except (OSError, RuntimeError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        if address is None:
            raise InputError("machines.not_started", reason=reason[:LONGEST_REASON]) from error
        raise InputError("machines.no_cluster", received=address, reason=reason[:LONGEST_REASON]) from error
    finally:
        if in_main_thread:  # Ray's own handler would end this process silently
            signal.signal(signal.SIGTERM, handler)
    try:
        executor = RayExecutor(cpus, gpus)
        executor.check_size()
        yield executor
    finally:
        ray.shutdown()


def find_socket_folder() -> str | None:
    """A folder for Ray's sockets where the one of temporary files has too long a name; else None, Ray's own choice.

    A socket's path may have 107 bytes, and Ray adds up to 75. A batch queue's TMPDIR is often longer than the rest.
    """
    usual = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    if len(os.fsencode(usual)) <= LONGEST_SOCKET_FOLDER or not os.access("/tmp", os.W_OK | os.X_OK):
        return None
    return f"/tmp/ray-{os.getuid()}"  # one that is somebody else's could not be written


class RayExecutor(Executor):
    """Runs tasks of one size on the cluster that this process is connected to; see `Executor` and `open_ray`.

    Args:
        cpus: cores of a task.
        gpus: GPUs of a task, or the share of one.
    """

    is_local = shares_disk = False

    def __init__(self, cpus: int, gpus: float) -> None:
        self.cpus, self.gpus = cpus, gpus

    def map_as_completed(
        self,
        function: Callable[[Any, Any], Any],
        tasks: Iterable[Any],
        shared: Any,
        on_report: Callable[[int, Any], None] | None = None,
    ) -> Iterator[tuple[int, Any]]:
        """See `Executor`; as many tasks run as the cluster has capacity for, and a few more wait there."""
        import ray

        # without limit: a task fails only if its machine does, or by an exception that would come again
        remote = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=-1)(run_on_worker)
        # a trial logs to MLflow by itself; but a run's id belongs to the one run that takes it first
        mlflow = [name for name in os.environ if name.startswith("MLFLOW_") and name != "MLFLOW_RUN_ID"]
        variables = {name: os.environ.get(name) for name in (*FORWARDED_VARIABLES, *mlflow)} | list_switches()
        common = [ray.put(shared)]  # in a list: Ray would unpack it, and so import Keras, before cores are claimed
        waiting, numbers = iter(tasks), itertools.count()
        running: dict[Any, int] = {}
        try:
            while True:
                while len(running) < self.count_slots() + SPARE_TASKS and (task := next(waiting, None)) is not None:
                    content = pickle.dumps((function, task))
                    running[remote.remote(content, common, self.cpus, variables)] = next(numbers)
                if not running:
                    return
                finished, _ = ray.wait(list(running), timeout=WAIT_SECONDS)
                for one in finished:
                    yield running.pop(one), ray.get(one)
                if not finished and self.count_slots() == 0:
                    print_line("waiting: no machine of the cluster can run a task; the run continues when one joins")
        except ray.exceptions.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, InputError) else error) from None
        except KeyboardInterrupt:
            raise_if_interrupted()  # Ray raises KeyboardInterrupt for SIGTERM too
            raise
        except LostError:
            running.clear()  # nothing is left to cancel
            raise
        finally:
            for unfinished in running:
                ray.cancel(unfinished, force=True)

    def count_slots(self) -> int:
        """How many tasks can run at once on the machines that are in the cluster now."""
        return sum(
            int(min(node.get("CPU", 0) / self.cpus, node.get("GPU", 0) / self.gpus if self.gpus else float("inf")))
            for node in _list_nodes()
        )

    def check_size(self) -> None:
        """Refuse tasks that no machine of the cluster can run.

        Raises:
            InputError: if there is none.
        """
        if self.count_slots() == 0:
            cpus, gpus = (max((node.get(kind, 0) for node in _list_nodes()), default=0) for kind in ("CPU", "GPU"))
            size = f"--task-cpus {self.cpus} --task-gpus {self.gpus:g}"
            raise InputError("machines.too_small", received=size, cpus=f"{cpus:g}", gpus=f"{gpus:g}")


def run_on_worker(content: bytes, common: list[Any], cpus: int, variables: dict[str, str | None]) -> Any:
    """Run a task on a worker, on cores of its own.

    Args:
        content: function and task, pickled.
        common: the reference of what all tasks share.
        cpus: cores of the task.
        variables: environment variables of the driver; None where it has none. What else could change a number here
            is unset.
    """
    import ray

    for name, value in (dict.fromkeys(list_switches()) | variables).items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    with claim_cores(cpus):
        import_keras()
        function, task = pickle.loads(content)
        return function(ray.get(common[0]), task)


@contextlib.contextmanager
def claim_cores(count: int, folder: Path | None = None) -> Iterator[None]:
    """Bind this process to cores that no other process has claimed; wait until there are enough.

    A process can claim cores again and again: the threads of its backend move to the new ones.

    Args:
        count: how many.
        folder: where the locks are, one file per core; the system releases them when a process ends, even if it is
            killed. None: one folder per user and machine.

    Raises:
        InputError: if this process may use fewer, or the system cannot bind processes.
    """
    cores = list_cores(count)
    folder = folder or Path(tempfile.gettempdir()) / f"digit-recognizer-cores-{os.getuid()}"  # Windows cannot bind
    folder.mkdir(exist_ok=True)
    while True:
        with contextlib.ExitStack() as held:
            with lock_folder(folder):  # all or none: two processes with half of their cores would wait for ever
                mine: list[int] = []
                for core in cores:
                    with contextlib.suppress(Timeout):
                        held.enter_context(FileLock(folder / f"{core}.lock", timeout=0))
                        mine.append(core)
                    if len(mine) == count:
                        break
            if len(mine) == count:
                bind_cores(mine)
                yield
                return
        time.sleep(RETRY_SECONDS)


def _check_address(address: str) -> None:
    """Refuse at once an address that does not answer: Ray itself tries for minutes."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()) or "://" in address:
        raise InputError("machines.address", received=address)
    if error := _try_connect(address):
        reason = getattr(error, "strerror", None) or error
        raise InputError("machines.no_cluster", received=address, reason=reason) from error


def _try_connect(address: str) -> Exception | None:
    """Open and close a connection to host:port; return the error, or None if it answers."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:  # the latter for a port above 65535
        return error
    return None


def _list_nodes() -> list[dict[str, float]]:
    """The resources of each machine of the cluster, once its head answers; but Ray would wait too long.

    Raises:
        LostError: if its head, which knows them, does not answer any more.
    """
    import ray

    address, deadline = ray.get_runtime_context().gcs_address, time.monotonic() + HEAD_SECONDS
    while error := _try_connect(address):
        if time.monotonic() > deadline:
            raise LostError("machines.head_lost", received=address) from error
        time.sleep(1)
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
