"""Make every single write, fsync and rename fail in turn, or kill the process there, and look for torn or lost files.

    python benchmarks/faults.py            # needs Linux and gcc; a few hundred short runs

Three ways, each at every n-th call: `kill` (SIGKILL, a write half done), `full` (from there on every write and fsync
reports a full disk) and `broken` (this call reports a broken disk). The calls are those of the C library; faults.c
replaces them. Afterwards every file must be whole and nothing lost. The command, repeated, must end as if nothing had
happened and leave no temporary file. A failure must be one line that names it.
"""

import argparse
import ctypes
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from digit_recognizer.competition.submissions import load_submission
from digit_recognizer.io import TEMPORARY, load_npy, read_json

CSV_FILES = ("train.csv", "test.csv", "sample_submission.csv")
COUNT, KILL, FULL, BROKEN = 1, 2, 3, 4
WAYS = {
    "kill": (KILL, -9, ""),
    "full": (FULL, 2, "No space left on device"),
    "broken": (BROKEN, 2, "Input/output error"),
}

# any model does here, and tracing a larger one would take most of the time
SMALLEST_MODEL = """
PRESET = {}


def build(input_shape, classes):
    import keras

    inputs = keras.Input(input_shape)
    outputs = keras.layers.Dense(classes, activation="softmax", dtype="float32")(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, outputs)
"""


@dataclass(frozen=True)
class Workload:
    """A command that writes.

    Attributes:
        arguments: of the command, for a folder to work in; after a fault, those that resume it.
        before: what that folder holds at first.
        results: files of which the bytes are compared with an undisturbed command's.
    """

    arguments: Callable[[Path], list[str]]
    before: Path
    results: tuple[str, ...]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", nargs="*", default=["download", "cv", "ensemble", "examine"])
    parser.add_argument("--ways", nargs="*", default=list(WAYS))
    parser.add_argument("--shim", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.shim is None:
        return _start_preloaded()
    from digit_recognizer.backend import import_keras

    folder = arguments.shim.parent
    import_keras()
    import digit_recognizer.training.cross_validation  # so that the processes to come need not

    digit_recognizer.models.__path__.append(str(folder))
    (folder / "smallest.py").write_text(SMALLEST_MODEL)
    _prepare_data(folder)
    workloads = build_workloads(folder)
    failures = sum(_try_everything(name, workloads[name], arguments.ways, folder) for name in arguments.workloads)
    print("no torn or lost file" if not failures else f"{failures} FAILURES")
    return int(failures > 0)


def build_workloads(folder: Path) -> dict[str, Workload]:
    """The commands to disturb."""
    data = ["--input-dir", str(folder / "data")]
    of_run = ("run/oof_probabilities.npy", "run/test_probabilities.npy", "run/folds.npy", "a.csv")

    def download(work: Path) -> list[str]:
        return [str(folder / "other"), "--overwrite", "--input-dir", str(work / "data")]

    def run_cv(work: Path) -> list[str]:
        if (work / "run" / "config.json").exists():
            return ["--resume", str(work / "run"), "--submission", str(work / "a.csv")]
        return name_cv(work, "run", "a.csv")

    def ensemble(work: Path) -> list[str]:
        return [str(work / "run"), str(work / "other"), *data, "--submission", str(work / "b.csv")]

    def examine(work: Path) -> list[str]:
        return [str(work / "run"), *data]

    found = ("run/examination/label_errors.csv", "run/examination/label_errors.png")
    return {
        "download": Workload(download, folder / "before", tuple(f"data/{name}" for name in CSV_FILES)),
        "cv": Workload(run_cv, folder / "before", of_run),
        "ensemble": Workload(ensemble, folder / "finished", (*of_run, "b.csv")),
        "examine": Workload(examine, folder / "finished", (*of_run, *found)),
    }


def name_cv(work: Path, run: str, submission: str) -> list[str]:
    """Arguments of a small cross-validation of what is in `work`."""
    flags = ["--model", "smallest", "--folds", "2", "--epochs", "1", "--precision", "float32", "--augmentation", "none"]
    places = {"--input-dir": work / "data", "--run-dir": work / run, "--submission": work / submission}
    return [*flags, *(word for flag, path in places.items() for word in (flag, str(path)))]


def _start_preloaded() -> int:
    """Compile the shim and start this script again with it."""
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        shim = Path(name).resolve() / "faults.so"
        source = Path(__file__).with_suffix(".c")
        subprocess.run(["gcc", "-Wall", "-O1", "-shared", "-fPIC", "-o", shim, source], check=True)
        environment = {**os.environ, "LD_PRELOAD": str(shim), "TF_CPP_MIN_LOG_LEVEL": "3"}
        return subprocess.run([sys.executable, *sys.argv, "--shim", shim], env=environment).returncode


def _prepare_data(folder: Path) -> None:
    """Two small data sets of the same size, and a finished run of the first; by processes of their own."""

    def call(*words: object) -> None:
        subprocess.run([sys.executable, "-m", *map(str, words)], check=True, stdout=subprocess.DEVNULL)

    call("digit_recognizer.download", "sample", "--input-dir", folder / "sample")
    for name, rows in (("data", slice(1, 121)), ("other", slice(121, 241))):
        (folder / name).mkdir()
        for table in CSV_FILES[:2]:
            lines = (folder / "sample" / table).read_text().splitlines(keepends=True)
            (folder / name / table).write_text("".join([lines[0], *lines[rows]]))
        ids = "".join(f"{number},0\n" for number in range(1, 121))
        (folder / name / CSV_FILES[2]).write_text("ImageId,Label\n" + ids)
    shutil.copytree(folder / "data", folder / "before" / "data")
    shutil.copytree(folder / "before", folder / "finished")
    _run_undisturbed("cv", name_cv(folder / "finished", "run", "a.csv"), folder / "work")
    _run_undisturbed("cv", [*name_cv(folder / "finished", "other", "c.csv"), "--seed", "1"], folder / "work")


def _try_everything(subcommand: str, workload: Workload, ways: list[str], folder: Path) -> int:
    work = folder / "work"
    _prepare(workload, work)
    calls = _run_undisturbed(subcommand, workload.arguments(work), work).calls
    expected = {work / file: (work / file).read_bytes() for file in workload.results}
    failures = 0
    for way, (mode, code, reason) in ((way, WAYS[way]) for way in ways):
        ends: Counter[str] = Counter()
        for call in range(1, calls + 1):
            before = _prepare(workload, work)
            ended = _run(subcommand, workload.arguments(work), work, mode, call)
            problems = [f"torn: {path}" for path in find_torn(work)] + _find_lost(work, before, expected)
            whole = all(_holds(path, expected[path]) for path in expected)
            if ended.code == code and (not reason or (reason in ended.error and ended.error.count("\n") == 1)):
                ends["stopped as it should"] += 1
            elif ended.code == 0 and whole:
                ends["not needed, so the command ended well"] += 1
            else:
                problems.append(f"exit code {ended.code}, {ended.error!r}")
            if not whole or subcommand == "cv" or any(work.rglob(f"{TEMPORARY}*")):
                again = _run(subcommand, workload.arguments(work), work, COUNT, 0)
                problems += [f"again: exit code {again.code}, {again.error!r}"] * (again.code != 0)
            problems += [f"differs: {path}" for path in expected if not _holds(path, expected[path])]
            problems += [f"left: {path}" for path in work.rglob(f"{TEMPORARY}*")]
            failures += bool(problems)
            if problems:
                print(f"{subcommand}, {way} at call {call}: {problems}", flush=True)
        summary = "; ".join(f"{count} {end}" for end, count in ends.items())
        print(f"{subcommand}, {way} at each of {calls} calls: {summary}", flush=True)
    return failures


@dataclass(frozen=True)
class Ended:
    """How a process ended: exit code (or minus the signal), what it said on stderr, calls counted."""

    code: int
    error: str
    calls: int


def _prepare(workload: Workload, work: Path) -> dict[Path, bytes]:
    """A fresh folder, and what is in it."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(workload.before, work)
    return {path: path.read_bytes() for path in work.rglob("*") if path.is_file()}


def _run_undisturbed(subcommand: str, arguments: list[str], work: Path) -> Ended:
    ended = _run(subcommand, arguments, work, COUNT, 0)
    if ended.code:
        sys.exit(f"{subcommand} failed undisturbed: {ended.error}")
    return ended


def _run(subcommand: str, arguments: list[str], work: Path, mode: int, call: int) -> Ended:
    work.mkdir(exist_ok=True)
    screen, error = work.with_name("screen.txt"), work.with_name("error.txt")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        for path, number in ((screen, 1), (error, 2)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        code = 1
        try:
            module = importlib.import_module(f"digit_recognizer.{subcommand}")
            shim = ctypes.CDLL(None)
            shim.fault_arm(str(work).encode(), mode, call)
            code = module.main(arguments)
            os.write(writing, str(shim.fault_calls()).encode())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        calls = int(pipe.read() or 0)
    return Ended(os.waitstatus_to_exitcode(status), error.read_text(), calls)


def find_torn(folder: Path) -> list[Path]:
    """The files below a folder that their readers refuse; temporary ones aside."""
    torn = []
    for path in folder.rglob("*"):
        hidden = any(part.startswith(TEMPORARY) for part in path.relative_to(folder).parts)
        if hidden or not path.is_file() or path.name == ".lock":
            continue
        read = load_submission if path.parent == folder and path.suffix == ".csv" else READERS[path.suffix]
        try:
            read(path)
        except Exception:  # whatever a reader says of a torn file
            torn.append(path)
    return torn


def check_last_line(path: Path) -> None:
    """Lines, the last of which has its end."""
    if not path.read_bytes().endswith(b"\n"):
        raise ValueError


def check_archive(path: Path) -> None:
    """A zip, every member of which has its checksum."""
    with zipfile.ZipFile(path) as archive:
        if archive.testzip():
            raise ValueError


def check_arrays(path: Path) -> None:
    """A checkpoint or a fold model, both of which carry a SHA-256."""
    from digit_recognizer.training.checkpoint import unpack_state
    from digit_recognizer.training.weights import load_arrays

    if path.name.startswith("state"):
        unpack_state(path.read_bytes())
    else:
        load_arrays(path, path.stat().st_size)


def check_image(path: Path) -> None:
    """A PNG with its end mark."""
    if not path.read_bytes().endswith(b"IEND\xaeB`\x82"):
        raise ValueError


READERS: dict[str, Callable[[Path], object]] = {
    ".npy": load_npy,
    ".json": read_json,
    ".csv": check_last_line,
    ".txt": check_last_line,
    ".keras": check_archive,
    ".png": check_image,
    ".safetensors": check_arrays,
}


def _holds(path: Path, content: bytes) -> bool:
    return path.exists() and path.read_bytes() == content


def _find_lost(work: Path, before: dict[Path, bytes], expected: dict[Path, bytes]) -> list[str]:
    """Files that were there before and are neither there still nor replaced as the command was asked to."""
    marker = work / "data" / CSV_FILES[2]  # not there while the files of two data sets stand side by side
    lost = [
        f"lost: {path}"
        for path in before
        if not _holds(path, before[path]) and not _holds(path, expected.get(path, b"")) and path != marker
    ]
    tables = [path for path in before if path.name in CSV_FILES[:2] and path in expected]
    ages = {_holds(path, before[path]) for path in tables}
    return lost + ["two data sets mixed"] * (len(ages) > 1 and marker.exists())


if __name__ == "__main__":
    sys.exit(main())
