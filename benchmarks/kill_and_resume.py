"""Kill cross-validations at random moments, resume them each time, and compare what they leave with unkilled runs.

    python benchmarks/kill_and_resume.py                                                        # 200 kills, small runs
    python benchmarks/kill_and_resume.py --reference runs/baseline --kills 6 --longest-session 180    # a real run again

A process that has imported Keras, and computed nothing, forks one process per session; that process gets SIGKILL at a
moment drawn evenly from the first half of the time that the unkilled run took (or from another time), unless it ends
before. After so many kills a run may finish. Exit code 1, and the files kept, if one byte differs.
"""

import argparse
import importlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from digit_recognizer.backend import import_keras
from digit_recognizer.io import TEMPORARY, hash_file

KILLS_PER_RUN = 8
NOTE_TIME_SECONDS = 0.005
# float32: `auto` may stand for another format on another machine, and what is compared is resuming
SMALL = "--folds 2 --limit-train 500 --batch-size 50 --precision float32 --submission {submission}"
RECIPES = {
    "dropout, augmentation, one cycle": f"--model baseline --epochs 4 {SMALL}",
    "normalisation, plateau, early stopping": (
        f"--model padded --epochs 6 --schedule plateau --patience 2 --learning-rate 0.03 {SMALL}"
    ),
    "frozen features, then fine-tuning": (
        "--model vgg16 --weights none --augmentation none --epochs 2 --unfreeze block5 --unfreeze-epochs 2 --folds 2 "
        "--limit-train 60 --limit-test 30 --batch-size 10 --precision float32"
    ),
}
RESULTS = ("oof_probabilities.npy", "test_probabilities.npy", "folds.npy")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input-dir", type=Path, help="default: that of the reference, or the bundled sample")
    parser.add_argument("--kills", type=int, default=200, help="at least so many")
    parser.add_argument("--reference", type=Path, help="a finished run to do again, instead of the small ones")
    parser.add_argument("--longest-session", type=float, help="seconds; default: half of the unkilled run's")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    import_keras()
    importlib.import_module("digit_recognizer.training.cross_validation")  # so that forked processes need not

    folder = Path(tempfile.mkdtemp(prefix="kill-and-resume-"))
    rng = np.random.default_rng(arguments.seed)
    kills, runs, different, moments = 0, 0, 0, Counter()
    if arguments.input_dir is None and arguments.reference is not None:
        arguments.input_dir = Path(json.loads((arguments.reference / "config.json").read_text())["input_dir"])
    elif arguments.input_dir is None:
        arguments.input_dir = folder / "input"
        command = [sys.executable, "-m", "digit_recognizer.download", "sample", "--input-dir", arguments.input_dir]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # here, it would leave threads that do not fork
    references = [_read_reference(arguments.reference)] if arguments.reference else None
    while kills < arguments.kills:
        if references is None:
            references = [_make_reference(name, flags, arguments.input_dir, folder) for name, flags in RECIPES.items()]
        name, flags, expected, seconds = references[runs % len(references)]
        runs += 1
        run = folder / f"run{runs}"
        longest = arguments.longest_session or seconds / 2
        killed = _run_killed(flags, arguments.input_dir, run, longest, KILLS_PER_RUN, rng)
        found = _hash_results(run, run.with_suffix(".csv"))
        same = found == expected
        stale = [path.name for path in run.rglob(f"{TEMPORARY}*")]
        different += not same or bool(stale)
        kills += sum(killed.values())
        moments += killed
        print(
            f"run {runs} ({name}): {sum(killed.values())} kills, {'equal' if same else 'DIFFERENT'} {stale}", flush=True
        )
        if same and not stale:
            shutil.rmtree(run)
    print(f"{kills} kills in {runs} runs; {runs - different} runs ended byte for byte as unkilled, {different} did not")
    print("found after a kill: " + "; ".join(f"{what} {count}" for what, count in moments.most_common()))
    if not different:
        shutil.rmtree(folder)
    else:
        print(f"kept in {folder}")
    return int(different > 0)


def _make_reference(name: str, flags: str, input_dir: Path, folder: Path) -> tuple[str, str, dict[str, str], float]:
    """Run a recipe unkilled; its name, flags, the hashes of what it leaves, and how long it took."""
    run = folder / f"whole-{len(list(folder.iterdir()))}"
    seconds = _run_session(_begin(flags, input_dir, run), run, None)
    expected = _hash_results(run, run.with_suffix(".csv"))
    print(f"{name}: {seconds:.1f} s unkilled", flush=True)
    return name, flags, expected, seconds


def _read_reference(run: Path) -> tuple[str, str, dict[str, str], float]:
    """A finished run as such a reference; its submission is made at another place than it was."""
    config, metrics = (json.loads((run / name).read_text()) for name in ("config.json", "metrics.json"))
    words = shlex.split(config["command"])[3:]
    for flag in ("--run-dir", "--submission", "--input-dir"):
        if flag in words:
            del words[words.index(flag) : words.index(flag) + 2]
    expected = _hash_results(run, Path(metrics["submission"]))
    return run.name, shlex.join([*words, "--submission", "{submission}"]), expected, metrics["elapsed_seconds"]


def _begin(flags: str, input_dir: Path, run: Path) -> list[str]:
    places = ["--input-dir", str(input_dir), "--run-dir", str(run)]
    return [*shlex.split(flags.format(submission=run.with_suffix(".csv"))), *places]


def _run_killed(
    flags: str, input_dir: Path, run: Path, longest: float, kills: int, rng: np.random.Generator
) -> Counter[str]:
    """Run a recipe with so many kills, and then to its end; what was found after each kill."""
    found: Counter[str] = Counter()
    for moment in [*rng.uniform(0, longest, kills), None]:
        begun = (run / "config.json").exists()
        resumed = ["--resume", str(run), "--submission", str(run.with_suffix(".csv"))]
        arguments = resumed if begun else _begin(flags, input_dir, run)
        if _run_session(arguments, run, moment) is None:
            found[_describe(run)] += 1
        elif moment is None:
            break
    return found


def _run_session(arguments: list[str], run: Path, kill_after: float | None) -> float | None:
    """One process of the command; the seconds that it took, or None if it was killed."""
    from digit_recognizer import cv

    started = time.monotonic()
    child = os.fork()
    if child == 0:
        log = os.open(run.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        code = 1
        try:
            code = cv.main(arguments)
        finally:
            sys.stdout.flush()
            os._exit(code)
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if kill_after is not None and time.monotonic() - started >= kill_after:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            break
        time.sleep(NOTE_TIME_SECONDS)
    if os.WIFSIGNALED(status):
        return None
    if os.WEXITSTATUS(status) != 0:
        sys.exit(f"{shlex.join(arguments)} failed: see {run.with_suffix('.log')}")
    return time.monotonic() - started


def _describe(run: Path) -> str:
    """How far a killed run had come, from its files."""
    if not run.exists() or not (run / "config.json").exists():
        return "no run folder yet"
    if (run / "metrics.json").exists():
        return "a finished run"
    if (run / "oof_probabilities.npy").exists():
        return "the end begun"
    temporary = ", a file half written" if list(run.rglob(f"{TEMPORARY}*")) else ""
    folds = len(list((run / "models").glob("fold*.safetensors"))) if (run / "models").exists() else 0
    begun = "a state" if (run / "state.safetensors").exists() else "no state"
    return f"{folds} folds, {begun}{temporary}"


def _hash_results(run: Path, submission: Path) -> dict[str, str]:
    paths = [run / name for name in RESULTS] + ([submission] if submission.exists() else [])
    return {"submission" if path == submission else path.name: hash_file(path) for path in paths}


if __name__ == "__main__":
    sys.exit(main())
