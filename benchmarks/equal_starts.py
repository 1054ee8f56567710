"""Start one command ten times, idle and on a busy machine in turns, and compare every byte of what the runs leave.

    python benchmarks/equal_starts.py                      # the cache folder of a new user: the first start measures
    python benchmarks/equal_starts.py --new-cache          # each start measures for itself, as a new user would

`--precision auto` times a convolution in each number format, once per machine and backend; then its choice is kept. So
equal bytes need a choice that is kept (the first command) and, on two machines of one kind, one that a busy machine
does not change (the second). Half of the starts run beside one busy process per core. A process that has imported
Keras, and computed nothing, forks one process per start. Exit code 1 if a byte differs.
"""

import argparse
import importlib
import json
import multiprocessing
import os
import shlex
import sys
import tempfile
import time
from pathlib import Path

from digit_recognizer import cv
from digit_recognizer.backend import import_keras
from digit_recognizer.io import hash_file

COMMAND = "--model narrow --epochs 2 --folds 2 --limit-train 500 --batch-size 50"
COMPARED = ("folds.npy", "oof_probabilities.npy", "test_probabilities.npy", "models/*.safetensors")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--command", default=COMMAND, help=f"flags of cv; default: {COMMAND}")
    parser.add_argument("--input-dir", type=Path, help="default: the bundled sample")
    parser.add_argument("--new-cache", action="store_true", help="an empty cache folder for each start")
    arguments = parser.parse_args()
    import_keras()
    importlib.import_module("digit_recognizer.training.cross_validation")  # so that forked processes need not

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = arguments.input_dir or download_sample(folder / "sample")
        print(
            "| start | machine | precision | seconds | SHA-256 of the run's arrays and weights |\n|---|---|---|---|---|"
        )
        found, spawn = [], multiprocessing.get_context("spawn")
        for number in range(arguments.starts):
            busy = number % 2 == 0  # the first start, which measures, has the harder case
            cache = folder / f"cache{number if arguments.new_cache else ''}"
            burners = [spawn.Process(target=burn, daemon=True) for _ in range(os.cpu_count() or 1)] if busy else []
            for burner in burners:
                burner.start()
            try:
                started = time.perf_counter()
                run = start(shlex.split(arguments.command), data, folder / f"run{number}", cache)
                seconds = time.perf_counter() - started
            finally:
                for burner in burners:
                    burner.terminate()
                    burner.join()
            precision = json.loads((run / "environment.json").read_text())["fingerprint"]["precision"]
            found.append((precision, hash_run(run)))
            place = "busy" if busy else "idle"
            print(f"| {number + 1} | {place} | {precision} | {seconds:.0f} | {found[-1][1]} |", flush=True)
    equal = len(set(found)) == 1
    print(f"\n{len(found)} starts: {'equal bytes' if equal else 'THEY DIFFER'}")
    return 0 if equal else 1


def download_sample(folder: Path) -> Path:
    from digit_recognizer.data.sources import download

    download("sample", folder)
    return folder


def start(flags: list[str], data: Path, run: Path, cache: Path) -> Path:
    """Run the command in a process of its own, with this cache folder; return its run folder."""
    own = ["--input-dir", str(data), "--run-dir", str(run), "--submission", str(run.with_suffix(".csv"))]
    child = os.fork()
    if child == 0:
        os.environ["XDG_CACHE_HOME"] = str(cache)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(cv.main([*flags, *own]))
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit(f"a start ended with {os.waitstatus_to_exitcode(status)}")
    return run


def hash_run(run: Path) -> str:
    """The SHA-256 of all arrays and weights of a run and of its submission, together, shortened."""
    import hashlib

    files = [run.with_suffix(".csv"), *sorted(path for pattern in COMPARED for path in run.glob(pattern))]
    return hashlib.sha256("".join(hash_file(path) for path in files).encode()).hexdigest()[:16]


def burn() -> None:
    """Keep a core busy with what competes for caches and vector units too."""
    import numpy as np

    matrix = np.random.default_rng(0).standard_normal((400, 400)).astype(np.float32)
    while True:
        matrix = np.tanh(matrix @ matrix)


if __name__ == "__main__":
    sys.exit(main())
