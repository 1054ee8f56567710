"""Tasks done by the machines of a Ray cluster (https://docs.ray.io), so many at once as it has room for.

This package travels to them, as it is on the driver's machine; Python, Ray, Keras and its backend must be there. What
all tasks share goes into Ray's object store, whence each machine fetches it once. A task whose machine is lost is done
again by another: that costs its time, and nothing else.
"""

import contextlib
import logging
import os
import pickle
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import digit_recognizer
from digit_recognizer.backend import SWITCHES
from digit_recognizer.console import print_line, raise_if_interrupted
from digit_recognizer.errors import InputError, LostError
from digit_recognizer.training.hardware import claim_cores, count_threads

# Set or unset at a worker as they are here: a backend reads them when it is imported, and its numbers may follow.
CARRIED = (*SWITCHES, "KERAS_BACKEND", "JAX_PLATFORMS", "TF_CPP_MIN_LOG_LEVEL", "NO_ALBUMENTATIONS_UPDATE")
SPARE_TASKS = 2  # handed in beyond those that find room, so that no machine waits for this process
WAIT_SECONDS = 15.0
KNOCK_SECONDS = 5.0
HEAD_SECONDS = 20.0  # without an answer, before the head is given up; Ray ends this process without a word after 60


@contextlib.contextmanager
def open_ray(address: str | None, cpus: int, gpus: float) -> Iterator["RayExecutor"]:
    """Connect to a cluster, or start one on this machine; disconnect at the end, which stops the tasks under way.

    Args:
        address: host:port; "auto" for the cluster that this machine is part of; None starts one.
        cpus: processors of a task.
        gpus: GPUs of a task, or the share of one.

    Raises:
        InputError: if Ray is not installed, there is no such cluster, or none of its machines is large enough.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # it warns of this future default
    try:
        import ray
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise InputError("--executor ray needs Ray, which is not installed: pip install -e '.[ray]'") from None
    if address not in (None, "auto"):
        _knock(str(address))
    if address is None:  # or Ray would write a token into the home folder, for all clusters to come
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    size: dict[str, Any] = {} if address else {"num_cpus": count_threads(), "include_dashboard": False}
    handlers = _get_handlers()
    print_line(f"connecting to the Ray cluster of {address}" if address else "starting Ray on this machine")
    try:
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"py_modules": [str(Path(digit_recognizer.__file__).parent)]},
            **size,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"--ray-address {address}: no cluster answers there ({reason}). See ray status; one that asks "
            "for a token is reached with RAY_AUTH_MODE=token."
        ) from error
    finally:
        for number, handler in handlers.items():  # Ray's own would end this process without a word
            signal.signal(number, handler)
    try:
        executor = RayExecutor(cpus, gpus)
        executor.check_size()
        yield executor
    finally:
        ray.shutdown()


class RayExecutor:
    """Tasks of one size on the cluster that this process is connected to; see `Executor` and `open_ray`.

    Args:
        cpus: processors of a task.
        gpus: GPUs of a task, or the share of one.
    """

    is_local = False

    def __init__(self, cpus: int, gpus: float) -> None:
        self.cpus, self.gpus = cpus, gpus

    def map_as_finished(
        self, function: Callable[[Any, Any], Any], tasks: Iterable[Any], shared: Any
    ) -> Iterator[tuple[int, Any]]:
        """As `Executor` has it; so many tasks are under way as the cluster has room for, and a few wait there."""
        import ray

        # without limit: a task fails by itself only if its machine does, or an error that would come again
        remote = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=-1)(work)
        # a trial tells MLflow of itself; a run's id is for the one run that takes it first
        trackers = [name for name in os.environ if name.startswith("MLFLOW_") and name != "MLFLOW_RUN_ID"]
        carried = {name: os.environ.get(name) for name in (*CARRIED, *trackers)}
        common = [ray.put(shared)]  # in a list, lest Ray unpack it, and import Keras, before processors are settled
        waiting = enumerate(tasks)
        numbers: dict[Any, int] = {}
        try:
            while True:
                while len(numbers) < self.count_places() + SPARE_TASKS and (following := next(waiting, None)):
                    number, task = following
                    content = pickle.dumps((function, task))
                    numbers[remote.remote(content, common, self.cpus, carried)] = number
                if not numbers:
                    return
                for finished in self._wait(list(numbers)):
                    yield numbers.pop(finished), _get(finished)
        except KeyboardInterrupt:
            raise_if_interrupted()  # Ray raises its own, whatever was asked for
            raise
        except LostError:
            numbers.clear()  # nobody is left to be told to stop
            raise
        finally:
            for unfinished in numbers:
                ray.cancel(unfinished, force=True)

    def count_places(self) -> int:
        """How many tasks find room at once, on the machines that there are now."""
        return sum(
            int(min(one.get("CPU", 0) / self.cpus, one.get("GPU", 0) / self.gpus if self.gpus else float("inf")))
            for one in _list_machines()
        )

    def check_size(self) -> None:
        """Refuse tasks that no machine of the cluster can do.

        Raises:
            InputError: if it is so.
        """
        if self.count_places() == 0:
            largest = [max((one.get(kind, 0) for one in _list_machines()), default=0) for kind in ("CPU", "GPU")]
            raise InputError(
                f"--task-cpus {self.cpus} --task-gpus {self.gpus:g} must fit on one machine, but the cluster's have at "
                f"most {largest[0]:g} processors and {largest[1]:g} GPUs: ask for less, or add a larger one."
            )

    def _wait(self, unfinished: list[Any]) -> list[Any]:
        """Those of which at least one has finished."""
        import ray

        while True:
            finished, _ = ray.wait(unfinished, timeout=WAIT_SECONDS)
            if finished:
                return list(finished)
            if self.count_places() == 0:
                print_line(
                    "waiting: no machine is left in the cluster that a task finds room on; it goes on when one is"
                )


def work(content: bytes, common: list[Any], cpus: int, carried: dict[str, str | None]) -> Any:
    """Do a task at a worker, on processors of its own.

    Args:
        content: function and task, pickled.
        common: the reference of what all tasks share.
        cpus: processors of the task.
        carried: environment variables of the driver; None where it has none.
    """
    import ray

    for name, value in carried.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    with claim_cores(cpus):
        from digit_recognizer.backend import import_keras

        import_keras()
        function, task = pickle.loads(content)
        return function(ray.get(common[0]), task)


def _knock(address: str) -> None:
    """Find out at once whether anybody answers: Ray itself tries for minutes."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()) or "://" in address:
        raise InputError(
            f"--ray-address takes host:port or auto, on a machine of the cluster; received {address}. Make this one "
            "part of it by: ray start --address=HOST:PORT --num-cpus=0"
        )
    try:
        socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"--ray-address {address}: nobody answers there ({reason}). Start it, or mend that.") from None


def _await_head(address: str) -> None:
    """Wait until a cluster's head answers, but not as long as Ray would.

    Raises:
        LostError: if it does not.
    """
    host, _, port = address.rpartition(":")
    given_up = time.monotonic() + HEAD_SECONDS
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()
            return
        except OSError as error:
            if time.monotonic() > given_up:
                told = f"the head of the Ray cluster, {address}, does not answer any more: start one (ray start)."
                raise LostError(told) from error
            time.sleep(1)


def _get(finished: Any) -> Any:
    import ray

    try:
        return ray.get(finished)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise error.cause from None
        raise


def _list_machines() -> list[dict[str, float]]:
    """What each machine of the cluster has to give.

    Raises:
        LostError: if its head, which knows them, does not answer any more.
    """
    import ray

    _await_head(ray.get_runtime_context().gcs_address)
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _get_handlers() -> dict[int, Any]:
    """Of SIGTERM, which only the main thread may set."""
    main = threading.current_thread() is threading.main_thread()
    return {signal.SIGTERM: signal.getsignal(signal.SIGTERM)} if main else {}
