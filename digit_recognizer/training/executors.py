"""Where tasks are done: in this process, or by the machines of a Ray cluster. No result depends on it.

A task is a function of the module level, called with what all tasks share and with what is its own. So that it may be
done anywhere, and again if a machine is lost, it returns all that it found and leaves nothing behind.
"""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal, Protocol, TypeVar

from digit_recognizer.errors import InputError
from digit_recognizer.training.hardware import bind_process, count_threads

Task = TypeVar("Task")
Result = TypeVar("Result")
Shared = TypeVar("Shared")


@dataclass(frozen=True, kw_only=True)
class Machines:
    """Where the work is done, one task to a fold. Results depend on the threads of a task, not on the machine."""

    executor: Literal["local", "ray"] = "local"
    """local: one task after the other, in this process. ray: as many at once as a Ray cluster has room for."""
    ray_address: str | None = None
    """Of a cluster, as host:port, or auto for one that this machine is part of; None starts one on this machine."""
    task_cpus: int | None = None
    """Processors, and so threads, of a task; None: all of this machine's if local, 1 if ray."""
    task_gpus: float = 0.0
    """GPUs of a task of ray, or the share of one."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            InputError: one line that names the flag, what was received and what it takes.
        """
        if self.task_cpus is not None and self.task_cpus < 1:
            raise InputError(f"--task-cpus takes a number of at least 1; received {self.task_cpus}.")
        if not 0 <= self.task_gpus < float("inf"):
            raise InputError(f"--task-gpus takes a number of at least 0; received {self.task_gpus}.")
        if self.executor == "local" and (self.ray_address is not None or self.task_gpus):
            name = "--task-gpus" if self.ray_address is None else "--ray-address"
            raise InputError(f"{name} is for --executor ray; --executor is local: name ray, or leave it out.")

    @property
    def machines(self) -> "Machines":
        """These settings by themselves, where a command's arguments hold others beside them."""
        return Machines(**{field.name: getattr(self, field.name) for field in fields(Machines)})


class Executor(Protocol):
    """Does tasks; made by `open_executor`."""

    is_local: bool
    """Whether tasks are done in this process, and so may tell of themselves while they are under way."""

    def map_as_finished(
        self, function: Callable[[Shared, Task], Result], tasks: Iterable[Task], shared: Shared
    ) -> Iterator[tuple[int, Result]]:
        """Do the tasks; yield each one's number, from 0, and its result as soon as there is one.

        Args:
            function: of the module level of this package, or of another that every machine has.
            tasks: taken as room is found for them, so that later ones may follow from earlier results; small.
            shared: sent to each machine once.

        Raises:
            InputError: that a task raised. Whatever else one raises is raised as well; other tasks end with it.
        """


class LocalExecutor:
    """One task after the other, in this process."""

    is_local = True

    def map_as_finished(
        self, function: Callable[[Shared, Task], Result], tasks: Iterable[Task], shared: Shared
    ) -> Iterator[tuple[int, Result]]:
        """As `Executor` has it; results come in the order of the tasks."""
        for number, task in enumerate(tasks):
            yield number, function(shared, task)


def map_in_order(
    executor: Executor, function: Callable[[Shared, Task], Result], tasks: Iterable[Task], shared: Shared
) -> Iterator[Result]:
    """Yield the results in the order of the tasks, each as soon as it and all before it are there; see `Executor`.

    Results that come early are kept in memory until their turn.
    """
    early: dict[int, Result] = {}
    due = 0
    for number, result in executor.map_as_finished(function, tasks, shared):
        early[number] = result
        while due in early:
            yield early.pop(due)
            due += 1


@contextlib.contextmanager
def open_executor(machines: Machines) -> Iterator[Executor]:
    """Get ready to do tasks; to be called before Keras is imported, whose threads are settled here.

    Within, tasks can be done; at the end, or when this is left by an error or Ctrl-C, those under way are stopped, and
    a cluster that was started here ends.

    Raises:
        InputError: if there is no such cluster, it has no machine that is large enough, or Ray is not installed.
    """
    if machines.executor == "ray":
        from digit_recognizer.training.ray_executor import open_ray

        with open_ray(machines.ray_address, machines.task_cpus or 1, machines.task_gpus) as executor:
            yield executor
        return
    if machines.task_cpus is not None and machines.task_cpus != count_threads():
        if "keras" in sys.modules:
            raise InputError("--task-cpus must be settled before Keras is imported: begin in a new process.")
        bind_process(machines.task_cpus)
    yield LocalExecutor()


def do_task(executor: Executor, function: Callable[[Shared, Task], Result], task: Task, shared: Any = None) -> Result:
    """Do a single task."""
    return next(map_in_order(executor, function, [task], shared))
