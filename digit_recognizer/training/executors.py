"""Where tasks run: in this process, in several of this machine, or on a Ray cluster. No result depends on the choice.

A task is the argument of one call, such as a fold. The function, at the top level of a module, is called with what all
tasks share and with the task: `function(shared, task)`. It returns all that it found, and writes nothing: so it can run
on any machine, and again if that machine is lost. In between it may `send_report` to whoever gave the task.
"""

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from digit_recognizer.config import flag
from digit_recognizer.errors import InputError

if TYPE_CHECKING:
    from digit_recognizer.training.process_executor import ProcessExecutor

Task = TypeVar("Task")
Result = TypeVar("Result")
Shared = TypeVar("Shared")

# below so many images trained on, all epochs and models together, starting processes takes longer than it saves
LONG_WORK = 1_000_000
# the cores that this process may use, before it is bound to some of them
ALLOWED_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


@dataclass(frozen=True, kw_only=True)
class ExecutorConfig:
    """Where the work is done, one task per fold. Results depend on the threads of a task, not on the machine."""

    executor: Literal["local", "processes", "ray"] | None = None
    """local: one model after the other, in this process. processes: side by side, as many as there are cores. ray: on a
    Ray cluster (default: processes for a long cv on a processor under Linux, else local)."""
    ray_address: str | None = None
    """The cluster, as host:port, or auto for the one that this machine is part of (default: a new one, here)."""
    task_cpus: int | None = None
    """Cores, and so threads, of a task (default: all of this machine's if local, else 1)."""
    task_gpus: float = 0.0
    """GPUs of a task on Ray, or the share of one."""

    def __post_init__(self) -> None:
        """Refuse values and combinations that make no sense.

        Raises:
            InputError: naming the flag and what was received.
        """
        if self.task_cpus is not None and self.task_cpus < 1:
            raise InputError("config.too_low", column="--task-cpus", received=self.task_cpus, lowest=1)
        if not 0 <= self.task_gpus < float("inf"):
            raise InputError("config.too_low", column="--task-gpus", received=self.task_gpus, lowest=0)
        if self.executor != "ray" and (self.ray_address is not None or self.task_gpus):
            name = "--task-gpus" if self.ray_address is None else "--ray-address"
            raise InputError("machines.needs_ray", column=name)

    def list_flags(self) -> tuple[str, ...]:
        """The flags that differ from their defaults."""
        named = {field.name: getattr(self, field.name) for field in fields(ExecutorConfig)}
        return tuple(part for name, value in named.items() if value for part in (flag(name), str(value)))


class Executor:
    """Runs tasks one after the other, in this process; `open_executor` may give one that runs them elsewhere."""

    is_local = True
    """Whether tasks run in this process, so that they can call what is here."""
    shares_disk = True
    """Whether tasks see the files of this process."""
    flags: tuple[str, ...] = ("--executor", "local")
    """What a command must be given to have this executor again; empty if it is the default."""

    def choose(self, images: int) -> contextlib.AbstractContextManager["Executor"]:
        """The executor for a run of several models, trained on so many images in all epochs: this one."""
        return contextlib.nullcontext(self)

    def count_slots(self) -> int:
        """How many tasks can run at once."""
        return 1

    def map_as_completed(
        self,
        function: Callable[[Shared, Task], Result],
        tasks: Iterable[Task | None],
        shared: Shared,
        on_report: Callable[[int, Any], None] | None = None,
    ) -> Iterator[tuple[int, Result]]:
        """Run the tasks; yield each one's number, from 0, and its result as soon as it is there.

        Args:
            function: at the top level of a module of this package, or of another that every machine has.
            tasks: taken only when one can start, so that later ones may follow from earlier results. None says
                that no other can start before one more result is there.
            shared: sent to each machine once.
            on_report: called with the task's number and what it reports, where tasks run in other processes of this
                machine.

        Raises:
            InputError: that a task raised. Any other exception of a task is raised as well. Both end the other tasks.
        """
        for number, task in enumerate(task for task in tasks if task is not None):
            yield number, function(shared, task)


class DefaultExecutor(Executor):
    """What a command has if no executor is named: long work of several models goes to processes, else it is local."""

    flags = ()

    def choose(self, images: int) -> contextlib.AbstractContextManager[Executor]:
        """See `Executor`."""
        import keras

        on_processor = all(device.startswith("cpu") for device in keras.distribution.list_devices())
        is_measured = keras.config.backend() == "tensorflow" and on_processor  # others were not tried
        if images < LONG_WORK or not is_measured or len(ALLOWED_CORES) < 2:
            return contextlib.nullcontext(self)
        processes = _open_processes(1)
        processes.flags = self.flags  # a run of it is resumed as it was started: without a flag
        return processes if processes.count_slots() > 1 else contextlib.nullcontext(self)  # memory for one model only


_report_senders: list[Callable[[Any], None]] = []


def set_report_sender(send: Callable[[Any], None]) -> None:
    """Name what `send_report` calls in this process."""
    _report_senders[:] = [send]


def send_report(content: Any) -> None:
    """Tell whoever gave the task that is running something of it; nothing happens where nobody can listen."""
    for send in _report_senders:
        send(content)


def _open_processes(cpus: int) -> "ProcessExecutor":
    # loaded by name, since Kaggle kernels do not carry it
    module = importlib.import_module("digit_recognizer.training.process_executor")
    opened: ProcessExecutor = module.ProcessExecutor(cpus)
    return opened


@contextlib.contextmanager
def open_executor(config: ExecutorConfig) -> Iterator[Executor]:
    """Get ready to run tasks. Call it before Keras is imported, because a backend sets up its threads at import.

    At the end, also after an error or Ctrl-C, running tasks are stopped, and a cluster that was started here ends.

    Raises:
        InputError: if there is no such cluster, none of its machines is large enough, or Ray is not installed.

    Example:
        >>> with open_executor(ExecutorConfig()) as executor:
        ...     run_task(executor, pow, 3, shared=2)
        8
    """
    if config.executor == "ray":
        # loaded by name, so that nobody who runs here must have Ray, or read its module
        ray_executor = importlib.import_module("digit_recognizer.training.ray_executor")
        with ray_executor.open_ray(config.ray_address, config.task_cpus or 1, config.task_gpus) as executor:
            executor.flags = config.list_flags()
            yield executor
        return
    if config.executor == "processes":
        with _open_processes(config.task_cpus or 1) as processes:
            processes.flags = config.list_flags()
            yield processes
        return
    if config.executor is None and config.task_cpus is None:
        yield DefaultExecutor()
        return
    if config.task_cpus is not None and config.task_cpus != count_threads():
        if "keras" in sys.modules:
            raise InputError("machines.keras_is_imported")
        bind_cores(list_cores(config.task_cpus)[: config.task_cpus])
    local = Executor()
    local.flags = config.list_flags()
    yield local


def map_in_order(
    executor: Executor,
    function: Callable[[Shared, Task], Result],
    tasks: Iterable[Task | None],
    shared: Shared,
    on_report: Callable[[int, Any], None] | None = None,
) -> Iterator[Result]:
    """Yield the results in the order of the tasks, each as soon as it and all before it are there.

    Results that come early are kept in memory. Arguments and errors as in `Executor.map_as_completed`.
    """
    early: dict[int, Result] = {}
    due = 0
    for number, result in executor.map_as_completed(function, tasks, shared, on_report):
        early[number] = result
        while due in early:
            yield early.pop(due)
            due += 1


def run_task(executor: Executor, function: Callable[[Shared, Task], Result], task: Task, shared: Any = None) -> Result:
    """Run a single task."""
    return next(map_in_order(executor, function, [task], shared))


# Cores of a task: exactly as many as it was promised, and no other task's.
#
# The backends derive their threads from the cores that a process may use, and sums that are split among other numbers
# of threads are rounded differently. So a process is bound to its cores before a backend is imported.


def count_threads() -> int:
    """The number of cores that this process may use, from which the backends derive their threads."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def list_cores(count: int) -> list[int]:
    """The cores that this process might use when it started.

    Raises:
        InputError: if these are fewer than `count`, or the system cannot bind processes.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise InputError("machines.cannot_bind")
    if count > len(ALLOWED_CORES):
        raise InputError("machines.too_few_cores", received=count, available=len(ALLOWED_CORES))
    return ALLOWED_CORES


def bind_cores(cores: list[int]) -> None:
    """Bind this process to these cores."""
    for thread in Path("/proc/self/task").iterdir():  # threads that start later inherit it
        with contextlib.suppress(ProcessLookupError):  # this thread has just ended
            os.sched_setaffinity(int(thread.name), cores)
