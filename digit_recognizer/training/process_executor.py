"""Tasks side by side on this machine, each in a process of its own with cores of its own.

Two models on a core each are trained sooner than one after the other on both (docs/speed.md has figures). And a task
has the same number of threads on every machine, so results do not depend on how many cores there are.
"""

import contextlib
import itertools
import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any

from digit_recognizer.backend import import_keras
from digit_recognizer.console import raise_if_interrupted
from digit_recognizer.errors import LostError
from digit_recognizer.training import executors
from digit_recognizer.training.executors import Executor, list_cores

BYTES_PER_PROCESS = 3 << 29  # 1.5 GiB: training the champion on 42,000 rows takes at most 1.2, libraries included
WAIT_SECONDS = 1.0
LEFT_OUT = ("PYTHONWARNINGS", "MLFLOW_RUN_ID")  # Keras warns; MLflow's run would be taken by the first trial of a sweep


class ProcessExecutor(Executor):
    """Runs as many tasks at once as cores and memory allow; see `Executor`. Use it as a context.

    Processes are started when there is a task for them, and are kept for further ones.

    Args:
        cpus: cores of a task.

    Raises:
        InputError: if this process may use fewer, or the system cannot bind processes.

    Example:
        >>> with ProcessExecutor(cpus=1) as executor:
        ...     sorted(result for _, result in executor.map_as_completed(pow, [1, 2, 3], 2))
        [2, 4, 8]
    """

    is_local = False

    def __init__(self, cpus: int) -> None:
        list_cores(cpus)
        cores = executors.ALLOWED_CORES
        slots = max(1, min(len(cores) // cpus, find_memory() // BYTES_PER_PROCESS - 1))  # this process takes one share
        self.free_cores = [cores[slot * cpus : (slot + 1) * cpus] for slot in range(slots)]
        self.flags = executors.ExecutorConfig(executor="processes", task_cpus=cpus).list_flags()
        self.idle: list[_Worker] = []
        self.busy: list[_Worker] = []

    def __enter__(self) -> "ProcessExecutor":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in [*self.idle, *self.busy]:  # busy ones too: an error may keep their generator open until later
            worker.stop()

    def count_slots(self) -> int:
        """How many tasks can run at once."""
        return len(self.free_cores) + len(self.idle) + len(self.busy)

    def map_as_completed(
        self,
        function: Callable[[Any, Any], Any],
        tasks: Iterable[Any],
        shared: Any,
        on_report: Callable[[int, Any], None] | None = None,
    ) -> Iterator[tuple[int, Any]]:
        """See `Executor`; `on_report` is called here, with what running tasks send by `send_report`."""
        content = pickle.dumps(shared)
        waiting, numbers = iter(tasks), itertools.count()
        running = dict[Connection, tuple[_Worker, int]]()
        try:
            while True:
                while (self.idle or self.free_cores) and (task := next(waiting, None)) is not None:
                    number = next(numbers)
                    worker = self.idle.pop() if self.idle else _Worker(self.free_cores.pop(0))
                    self.busy.append(worker)
                    running[worker.connection] = (worker, number)
                    worker.start(function, task, content)
                if not running:
                    return
                for connection in wait(list(running), WAIT_SECONDS):
                    assert isinstance(connection, Connection)
                    worker, number = running[connection]
                    kind, message = worker.receive()
                    if kind == "report":
                        if on_report is not None:
                            on_report(number, message)
                        continue
                    del running[connection]
                    self.busy.remove(worker)
                    self.idle.append(worker)
                    if kind == "error":
                        raise message
                    yield number, message
                raise_if_interrupted()
        finally:
            for worker, _ in running.values():  # its task is not finished
                worker.stop()
                self.busy.remove(worker)
                self.free_cores.append(worker.cores)


class _Worker:
    """A process that runs one task after another on these cores."""

    def __init__(self, cores: list[int]) -> None:
        self.cores = cores
        self.shared: bytes | None = None  # what it was sent last: tasks of another call may have come between
        self.connection, theirs = Pipe()
        # no fork, which would copy the threads of a backend; no multiprocessing, which would run a user's script again
        code = f"import sys; sys.path[:] = {sys.path}; from {__name__} import run_tasks; run_tasks({theirs.fileno()})"
        with _inherited(cores):
            self.process = subprocess.Popen(
                [sys.executable, "-c", code],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # the process that started it prints what is to be seen
                stderr=subprocess.DEVNULL,
                env={name: value for name, value in os.environ.items() if name not in LEFT_OUT},
            )
        theirs.close()  # so that the end of the process is the end of the connection

    def start(self, function: Callable[[Any, Any], Any], task: Any, shared: bytes) -> None:
        """Begin a task; what it shares with the one before is not sent again."""
        with self._lost_if_dead():
            self.connection.send((function, task, None if shared is self.shared else shared))
        self.shared = shared

    def receive(self) -> tuple[str, Any]:
        """The next message: report, result or error, and its content.

        Raises:
            LostError: if the process has ended.
        """
        with self._lost_if_dead():
            message: tuple[str, Any] = self.connection.recv()
            return message

    def stop(self) -> None:
        """End the process at once, whatever it does."""
        self.process.kill()
        self.process.wait()
        self.connection.close()

    @contextlib.contextmanager
    def _lost_if_dead(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError) as error:  # OSError too: of a message that is cut off
            self.process.kill()
            code, cpus = self.process.wait(), len(self.cores)
            raise LostError("machines.process_lost", received=code, cpus=cpus) from error


def run_tasks(number: int) -> None:
    """What a worker's process does: run tasks, and send reports and results, until the other end is closed.

    Args:
        number: the file descriptor of its end of the connection.
    """
    connection = Connection(number)
    executors.set_report_sender(lambda content: connection.send(("report", content)))
    shared: Any = None
    while True:
        try:
            function, task, content = connection.recv()
        except EOFError:
            return
        try:
            import_keras()
            if content is not None:
                shared = pickle.loads(content)
            answer = pickle.dumps(("result", function(shared, task)))
        except Exception as error:  # whatever it is, it is raised where the task was given
            error.add_note(traceback.format_exc())
            answer = pickle.dumps(("error", error if _can_be_sent(error) else RuntimeError(traceback.format_exc())))
        connection.send_bytes(answer)


def _can_be_sent(error: Exception) -> bool:
    """Whether an exception arrives as it is: some classes cannot be made anew from their message."""
    try:
        return type(pickle.loads(pickle.dumps(error))) is type(error)
    except Exception:  # whatever a foreign class raises
        return False


def find_memory() -> int:
    """Bytes of memory that this machine, or its container, has; without a limit that is known, 16 GiB."""
    limits = [16 << 30]
    with contextlib.suppress(OSError, ValueError):
        limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with contextlib.suppress(OSError, ValueError):  # "max" where there is no limit
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return min(limits)


@contextlib.contextmanager
def _inherited(cores: list[int]) -> Iterator[None]:
    """Inside, a process that is started has these cores from its first instruction, and ignores Ctrl-C and the like.

    They reach all processes of a terminal, and this one decides what becomes of the others. A process has the cores
    and the blocked signals of the thread that starts it.
    """
    before = os.sched_getaffinity(0)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
