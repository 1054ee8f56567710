"""Kill a sweep at random moments, continue it each time, and compare its trials with those of an unkilled one.

    python benchmarks/kill_sweep.py                    # 20 kills of a grid, 20 of a search that prunes trials

Each session is a process of its own, which gets SIGKILL at a moment drawn evenly from between its first trial's
beginning and the time that an unkilled sweep took for a third of its trials. After so many kills the sweep may finish.
Exit code 1, and the files kept, if a trial is lost, doubled, or has another result; seconds alone may differ.
"""

import argparse
import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from digit_recognizer.sweeps.trials import load_trials

COMMON = """
title = "Killed"
input_dir = "input"
[fixed]
model = "narrow"
epochs = 4
limit_train = 500
folds = 2
batch_size = 25
precision = "float32"
"""
STUDIES = {
    "grid": f"seeds = 2\n{COMMON}\n[[grid]]\nmodel_args.dropout = [0.3, 0.5, 0.7]\nlearning_rate = [0.01, 0.05]\n",
    "search": f'seeds = 1\nmethod = "tpe"\nprune = "median"\ntrials = 16\n{COMMON}\n'
    "[search]\nmodel_args.dropout = { low = 0.0, high = 0.9 }\n"
    "learning_rate = { low = 1e-4, high = 0.3, log = true }\n",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="of each study")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kill-sweep-"))
    rng = np.random.default_rng(arguments.seed)
    download = [sys.executable, "-m", "digit_recognizer.download", "sample", "--input-dir", folder / "input"]
    subprocess.run(download, check=True, stdout=subprocess.DEVNULL)
    different = 0
    for name, text in STUDIES.items():
        (folder / f"{name}.toml").write_text(text)
        started = time.perf_counter()
        expected = _sweep(folder, name, "whole", None)
        seconds = time.perf_counter() - started
        kills, sessions = 0, 0
        while kills < arguments.kills:
            before = _count(folder, "killed-" + name)
            moment = rng.uniform(3.0, max(6.0, seconds / 3))  # the first seconds import Keras
            _sweep(folder, name, "killed", moment)
            kills, sessions = kills + 1, sessions + 1
            if _count(folder, "killed-" + name) == len(expected):  # nothing is left to kill: it begins once more
                different += _compare(name, expected, _sweep(folder, name, "killed", None), kills)
                shutil.rmtree(folder / ("killed-" + name))
            print(f"{name}: kill {kills} after {moment:.1f} s, {before} trials before", flush=True)
        different += _compare(name, expected, _sweep(folder, name, "killed", None), kills)
        states = [record.state for record in expected]
        print(f"{name}: {len(expected)} trials, {states.count('pruned')} of them pruned; {kills} kills", flush=True)
    if different:
        print(f"NOT THE SAME; see {folder}")
        return 1
    shutil.rmtree(folder)
    print("all trials the same, none lost, none doubled")
    return 0


def _sweep(folder: Path, name: str, how: str, seconds: float | None) -> list:
    """The trials at the end of a session, which is killed after so many seconds if it lasts that long."""
    command = [sys.executable, "-m", "digit_recognizer.sweep", f"{name}.toml", "--run-dir", f"{how}-{name}"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    try:
        if process.wait(seconds) != 0:
            raise SystemExit(f"{name}: a session ended with exit code {process.returncode}")
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return []
    return load_trials(folder / f"{how}-{name}" / "trials.jsonl")


def _count(folder: Path, sweep: str) -> int:
    path = folder / sweep / "trials.jsonl"
    return len(load_trials(path))


def _compare(name: str, expected: list, found: list, kills: int) -> int:
    """1 if the trials differ in anything but their seconds."""

    def strip(records: list) -> list[str]:
        return sorted(json.dumps({**dataclasses.asdict(record), "seconds": 0}) for record in records)

    same = strip(expected) == strip(found)
    print(f"{name}: {'the same' if same else 'NOT the same'} {len(found)} trials after {kills} kills", flush=True)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
