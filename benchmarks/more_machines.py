"""Folds on a cluster of two nodes of one core each, compared with the same run in one process with one thread.

    python benchmarks/more_machines.py equal        # every file of a run byte for byte; 3 min
    python benchmarks/more_machines.py kill         # the same when a node is killed in mid-run; 3 min
    python benchmarks/more_machines.py overhead     # seconds and bytes of a task; 2 min
    python benchmarks/more_machines.py scaling      # the five folds on one node and on two, in turn; 5 min

A node is a process session with a loopback address, a Ray daemon and a core of its own; the driver may use the cores of
both. A node is killed by SIGKILL to every process of its session. Exit code 1 if a byte differs. Ray must be installed
(`pip install 'digit_recognizer[ray]'`), and no other cluster may be at work here.
"""

import argparse
import contextlib
import os
import pickle
import secrets
import shlex
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ |= {
    **{"RAY_USAGE_STATS_ENABLED": "0", "TF_CPP_MIN_LOG_LEVEL": "3"},
    **{"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)},  # its ports are open to the network
    "RAY_worker_niceness": "0",  # its 15 would measure whoever else is at work
}


FLAGS = "--model narrow --folds 5 --epochs 3 --limit-train 6000 --precision float32"
RESULTS = ("folds.npy", "oof_probabilities.npy", "test_probabilities.npy")
TASKS = 50
MANY_TASKS = 2000
MODEL_BYTES = 130_000  # of `narrow` with its optimizer
PAIRS = 3
LONGER = ("--epochs", "12")  # for scaling: a fold should take longer than a worker's start


def start_node(number: int, port: int) -> subprocess.Popen:
    """A node with one processor: the head if it is the first."""
    place = f"--node-ip-address=127.0.0.{number + 1}"
    part = ["--head", f"--port={port}", "--include-dashboard=false"] if number == 0 else [f"--address=127.0.0.1:{port}"]
    ray = Path(sys.executable).with_name("ray")
    command = ["taskset", "-c", str(number), ray, "start", *part, place, "--num-cpus=1", "--block"]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)


def kill_node(node: subprocess.Popen) -> int:
    """SIGKILL to all processes of its session; the number of tasks that they were at."""
    at_work = 0
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            if os.getsid(int(place.name)) == node.pid:
                at_work += (place / "cmdline").read_bytes().startswith(b"ray::work")
                os.kill(int(place.name), signal.SIGKILL)
    node.wait()
    return at_work


@contextlib.contextmanager
def run_cluster(count: int) -> Iterator[tuple[str, list[subprocess.Popen]]]:
    """A cluster of so many nodes; its address, and their processes."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    nodes: list[subprocess.Popen] = []
    try:
        for number in range(count):
            nodes.append(start_node(number, port))
            wait_for_nodes(f"127.0.0.1:{port}", number + 1)
        yield f"127.0.0.1:{port}", nodes
    finally:
        for node in nodes:
            kill_node(node)


def wait_for_nodes(address: str, count: int) -> None:
    script = (
        f"import ray; ray.init(address={address!r}, log_to_driver=False); print(sum(n['Alive'] for n in ray.nodes()))"
    )
    for _ in range(20):
        answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        if answer.stdout.strip() == str(count):
            return
        time.sleep(1)
    sys.exit(f"the cluster does not come up: {answer.stderr}")


def begin_cv(folder: Path, name: str, input_dir: Path, *where: str) -> subprocess.Popen:
    places = f"--input-dir {input_dir} --run-dir {folder / name} --submission {folder / name}.csv"
    command = [sys.executable, "-m", "digit_recognizer.cv", *shlex.split(f"{FLAGS} {places}"), *where]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def run_cv(folder: Path, name: str, input_dir: Path, *where: str) -> float:
    """Run it to its end; the seconds that it took."""
    started = time.perf_counter()
    if begin_cv(folder, name, input_dir, *where).wait():
        sys.exit(f"{name} failed; see {folder}")
    return time.perf_counter() - started


def compare_runs(folder: Path, one: str, other: str) -> bool:
    """Whether two runs wrote the same bytes; prints what was compared."""
    same = {name: (folder / one / name).read_bytes() == (folder / other / name).read_bytes() for name in RESULTS}
    same["submission"] = (folder / f"{one}.csv").read_bytes() == (folder / f"{other}.csv").read_bytes()
    histories = [(folder / run / "history.csv").read_text().splitlines() for run in (one, other)]
    without_seconds = [[line.rpartition(",")[0] for line in lines] for lines in histories]
    same["history.csv but for seconds"] = without_seconds[0] == without_seconds[1]
    for weights in sorted((folder / one / "models").glob("*.safetensors")):
        same[f"models/{weights.name}"] = weights.read_bytes() == (folder / other / "models" / weights.name).read_bytes()
    print(f"{other} and {one}: " + "; ".join(f"{name} {'equal' if s else 'DIFFERENT'}" for name, s in same.items()))
    return all(same.values())


def measure_equal(folder: Path, input_dir: Path) -> bool:
    run_cv(folder, "local", input_dir, "--task-cpus", "1")
    with run_cluster(2) as (address, _):
        run_cv(folder, "ray", input_dir, "--executor", "ray", "--ray-address", address)
    return compare_runs(folder, "local", "ray")


def measure_kill(folder: Path, input_dir: Path) -> bool:
    run_cv(folder, "local", input_dir, "--task-cpus", "1")
    with run_cluster(2) as (address, nodes):
        started = time.perf_counter()
        running = begin_cv(folder, "killed", input_dir, "--executor", "ray", "--ray-address", address)
        log = folder / "killed" / "log.txt"
        while not (log.exists() and "fold 1/5  held-out" in log.read_text()) and running.poll() is None:
            time.sleep(0.1)
        moment = time.perf_counter() - started
        done = log.read_text().count("held-out accuracy")
        tasks = kill_node(nodes[1])
        code = running.wait()
        print(f"second node killed after {moment:.1f} s, with {tasks} fold under way and {done} of 5 folds written")
        print(f"exit code {code} after {time.perf_counter() - started:.1f} s")
    return code == 0 and compare_runs(folder, "local", "killed")


def measure_overhead(folder: Path, input_dir: Path) -> bool:
    """Tasks that do nothing, on a cluster of one node."""
    with run_cluster(1) as (address, _):
        from digit_recognizer.training.executors import ExecutorConfig, map_in_order, open_executor, run_task

        started = time.perf_counter()
        with open_executor(ExecutorConfig(executor="ray", ray_address=address)) as executor:
            print(f"connecting: {time.perf_counter() - started:.2f} s")
            print(f"first task, cold worker: {_time(lambda: run_task(executor, eval, {}, '0')):.2f} s")
            script = "import time; s = time.perf_counter(); from digit_recognizer.backend import import_keras as i; i()"
            script += "; print(time.perf_counter() - s)"
            alone = [float(subprocess.check_output([sys.executable, "-c", script])) for _ in range(3)]
            print(f"import of Keras in a process by itself: {statistics.median(alone):.2f} s (median of 3)")
            singles = [_time(lambda: run_task(executor, eval, {}, "0")) for _ in range(TASKS)]
            print(f"a task alone, warm worker: {_describe(singles)}")
            many = _time(lambda: list(map_in_order(executor, eval, [{}] * MANY_TASKS, "0")))
            print(f"{MANY_TASKS} tasks in a row: {1000 * many / MANY_TASKS:.2f} ms each")
            _measure_bytes(executor, input_dir)
            _submit_at_once()
            _keep_folds(folder, input_dir)
    return True


def _measure_bytes(executor: Any, input_dir: Path) -> None:
    """What travels: the data to each node once, a result back per fold."""
    from digit_recognizer.backend import import_keras

    import_keras()
    from digit_recognizer.config import RunConfig
    from digit_recognizer.data.dataset import load_dataset
    from digit_recognizer.training.executors import run_task

    dataset = load_dataset(RunConfig(input_dir=input_dir))
    sent = [_time(lambda: run_task(executor, getattr, "has_all_test_rows", dataset)) for _ in range(5)]
    print(f"data set: {len(pickle.dumps(dataset)) / 1e6:.1f} MB; a task that is given it: {_describe(sent)}")
    rows = len(dataset.labels) // 5 + len(dataset.test_images)
    print(f"a fold's result: {rows * 10 * 4 / 1e6:.2f} MB of probabilities, and the model")


def _submit_at_once() -> None:
    """10,000 tasks submitted to Ray at once, without our limit."""
    import ray

    remote = ray.remote(lambda n: n)
    started = time.perf_counter()
    submitted_tasks = [remote.remote(n) for n in range(10_000)]
    submitted = time.perf_counter() - started
    ray.get(submitted_tasks)
    print(f"10,000 at once: submitted within {submitted:.2f} s, done within {time.perf_counter() - started:.1f} s")


def _keep_folds(folder: Path, input_dir: Path) -> None:
    """What the driver does with each fold that comes back: its model and the run's state go to the disk."""
    import numpy as np

    from digit_recognizer.config import RunConfig
    from digit_recognizer.data.dataset import load_dataset
    from digit_recognizer.io import write_atomically
    from digit_recognizer.training.checkpoint import RunState, save_checkpoint

    dataset = load_dataset(RunConfig(input_dir=input_dir))
    shapes = [(len(rows), 10) for rows in (dataset.labels, dataset.test_images)]
    state = RunState("kept", *(np.zeros(shape, np.float32) for shape in shapes))
    model = os.urandom(MODEL_BYTES)

    def keep() -> None:
        with write_atomically(folder / "model.keras") as temporary:
            temporary.write_bytes(model)
        save_checkpoint(folder, state)

    kept = [_time(keep) for _ in range(30)]
    print(f"keeping a fold (a model of {MODEL_BYTES / 1e6:.2f} MB, and the state): {_describe(kept)}")


def measure_scaling(folder: Path, input_dir: Path) -> bool:
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for pair in range(PAIRS):
        for count in (1, 2) if pair % 2 == 0 else (2, 1):
            with run_cluster(count) as (address, _):
                where = ("--executor", "ray", "--ray-address", address, *LONGER)
                seconds[count].append(run_cv(folder, f"{count}-{pair}", input_dir, *where))
    ratios = [one / two for one, two in zip(seconds[1], seconds[2], strict=True)]
    print(
        f"{' '.join(LONGER)}: 1 node {statistics.median(seconds[1]):.1f} s, 2 nodes "
        f"{statistics.median(seconds[2]):.1f} s (medians); "
        f"ratio, median of pairs: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); 5/3 at most"
    )
    return compare_runs(folder, "1-0", "2-0")


def _time(work: Any) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _describe(seconds: list[float]) -> str:
    return f"{1000 * statistics.median(seconds):.1f} ms (median of {len(seconds)}; at most {1000 * max(seconds):.1f})"


MEASURES = {"equal": measure_equal, "kill": measure_kill, "overhead": measure_overhead, "scaling": measure_scaling}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=MEASURES)
    parser.add_argument("--input-dir", type=Path, default=Path("input"), help="default: %(default)s")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # a time limit must leave no nodes behind
    folder = Path(tempfile.mkdtemp(prefix="more-machines-"))
    print(
        f"{arguments.part}: {FLAGS}; files in {folder}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors",
        flush=True,
    )
    return int(not MEASURES[arguments.part](folder, arguments.input_dir.absolute()))


if __name__ == "__main__":
    sys.exit(main())
