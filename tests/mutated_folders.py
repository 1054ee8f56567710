"""Run folders, states and sweeps from somebody else: healthy ones, spoilt at random, through the commands that read.

    PYTHONPATH=. python tests/mutated_folders.py --cases 10000 --with-keras      # the numbers of docs/reliability.md

Each case copies a healthy place, spoils one to three of its files (values replaced, entries removed, huge numbers,
nesting, wrong types, truncation, arrays of NaN or of other shapes, sparse files, links), and calls commands in this
process. A command must end with exit code 0 or 2 and one line of error at most, in seconds, within 1 GB of memory on
top of what the libraries hold; what lies outside the run folders must stay as it was, and must not be shown.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from conftest import write_labels, write_tiny_data
from corpus import within_bounds
from drawn_letters import write_letters
from sweep_records import make_grid, make_records

from digit_recognizer.__main__ import import_command
from digit_recognizer.competition.submissions import Provenance, write_submission
from digit_recognizer.competition.submit import COLUMNS
from digit_recognizer.config import RunConfig
from digit_recognizer.console import clean_lines
from digit_recognizer.errors import InputError
from digit_recognizer.io import hash_file
from digit_recognizer.sweeps.ensembles import load_ensembles
from digit_recognizer.sweeps.trials import append_trial, load_trials

MAX_BYTES, MAX_SECONDS = 1 << 30, 60
SECRET = "a secret that no log may hold"
STUDY = """title = "Some study"
seeds = 2
input_dir = "data"
fixed.model = "narrow"
[[grid]]
model_args.dropout = [0.3, 0.5, 0.7]
batch_size = [40, 150]
"""


def lean_towards(labels: np.ndarray, sure: float) -> np.ndarray:
    probabilities = np.full((len(labels), 10), (1 - sure) / 9, np.float32)
    probabilities[np.arange(len(labels)), labels] = sure
    return probabilities


def build_place(folder: Path) -> None:
    """data/, five runs and a sweep in runs/, and things of the reader's own in outside/."""
    data = write_tiny_data(folder / "data")
    labels, answers = np.arange(60) % 10, np.arange(60, 80) % 10
    write_labels(folder / "mine.csv", answers)
    hashes = {f"{name}_sha256": hash_file(data / f"{name}.csv") for name in ("train", "test")}
    environment = {
        "run": f"{'0' * 32}-{'1' * 64}", "digit_recognizer": "0.3.0", "commit": None, "platform": "Linux",
        "fingerprint": {"precision": "float32", "--epochs": 1}, "executor": ["--executor", "local"],
        "resumed_with_differences": [],
    }  # fmt: skip
    history = "fold,epoch,loss,accuracy,lr,seconds\n" + "".join(
        f"{f},{e},0.{e},0.8{e},0.1,1\n" for f in (0, 1) for e in (1, 2)
    )
    for name, sure in (("one", 0.9), ("two", 0.8), ("both", 0.7), ("stopped", 0.6)):
        run = folder / "runs" / name
        (run / "models").mkdir(parents=True)
        config = RunConfig(model="dense", folds=2, epochs=2, input_dir=Path("data"), precision="float32").to_json()
        members = {"members": ["runs/one", "runs/two"], "method": "mean"} if name == "both" else {}
        config = {"subcommand": "ensemble" if members else "cv", "command": f"cv {name}", **config, **members}
        (run / "config.json").write_text(json.dumps(config))
        (run / "environment.json").write_text(json.dumps(environment))
        (run / "log.txt").write_text("a line\n")
        np.save(run / "folds.npy", (np.arange(60) % 2).astype(np.int16))
        np.save(run / "labels.npy", labels.astype(np.int8))
        if name == "stopped":
            continue
        (run / "history.csv").write_text(history)
        (run / "examination").mkdir()
        (run / "examination" / "label_errors.csv").write_text("row\n")
        shifted = np.where(np.arange(60) < 6 * (name == "two"), (labels + 1) % 10, labels)
        np.save(run / "oof_probabilities.npy", lean_towards(shifted, sure))
        np.save(run / "test_probabilities.npy", lean_towards(answers, sure))
        metrics = {
            "model": "dense", "seed": 0, "fold_accuracies": [1.0, 1.0], "oof_accuracy": 0.1234, **hashes,
            "oof_accuracy_interval": [0.1, 0.2], "calibration_error": 0.1, "elapsed_seconds": 3.5,
            "most_frequent_confusion": {"label": 1, "prediction": 7, "rows": 2}, "training_seconds": 2.5,
            "precision": "float32", "ineligible": None, "submission": "mine.csv", "single_split": False,
            "untrained_accuracy": None, "resumed_with_differences": [],
            **({"members": ["runs/one", "runs/two"], "weights": [0.5, 0.5]} if members else {}),
        }  # fmt: skip
        (run / "metrics.json").write_text(json.dumps(metrics))
    build_transfer(folder / "runs" / "letters")
    sweep = folder / "runs" / "sweep"
    sweep.mkdir()
    study = make_grid(seeds=2)
    for record in make_records(study, lambda one: 0.9 + one["model_args.dropout"] / 10):
        append_trial(sweep / "trials.jsonl", record)
    header = "configuration,models,choices,accuracy,lowest,highest,trials\n"
    (sweep / "ensembles.csv").write_text(header + "a=1,1,2,0.9,0.8,0.95,a b\na=1,2,1,0.9,0.9,0.9,a b\n")
    (folder / "some-study.toml").write_text(STUDY)
    note = Provenance(model="dense", test_sha256=hashes["test_sha256"], train_sha256=None, oof_accuracy=0.9,
                      ineligible=None)  # fmt: skip
    write_submission(folder / "submissions" / "mine.csv", answers[::-1], len(answers), note)
    ledger = [",".join(COLUMNS), ",".join("" for _ in COLUMNS)]
    (folder / "submissions" / "ledger.csv").write_text("\n".join([*ledger, ""]))
    outside = folder / "outside"
    (outside / "pictures").mkdir(parents=True)
    for name in ("secret.txt", "pictures/label_errors.csv", "pictures/fold0.safetensors", "metrics.json"):
        (outside / name).write_text(SECRET)


def build_transfer(run: Path) -> None:
    """As much of a finished transfer as is read without its model."""
    run.mkdir()
    config = {"subcommand": "transfer", "command": "transfer", "images": "letters", "test": None, "weights": "imagenet"}
    summary = {"mean": 0.8, "per_seed": [0.7, 0.9], "lowest": 0.7, "highest": 0.9}
    metrics = {
        "run": "runs/one", "classes": ["a", "b", "c"], "preprocess": "none", "seeds": [0, 1], "kept_seed": 1,
        "base": {"model": "narrow", "model_args": [], "precision": "float32"}, "recommended": "model",
        "validation": {"what": "pictures", "pictures": 9, "accuracy": summary, "nearest_neighbours": summary},
        "training_pictures": {"a": 3, "b": 3, "c": 3}, "neighbours": 3, "warning": None, "evaluated": "9 pictures",
        "evaluated_pictures": 9, "kept_accuracy": 0.1234, "accuracy": summary, "nearest_class_mean": summary,
        "nearest_neighbours": summary, "elapsed_seconds": 4.5,
    }  # fmt: skip
    (run / "config.json").write_text(json.dumps(config))
    (run / "metrics.json").write_text(json.dumps(metrics))
    rows = [f"{n}.png,{'abc'[n % 3]},{'abc'[n % 2]},0.9{n},{n:064d}" for n in range(9)]
    (run / "predictions.csv").write_text("\n".join(["file,label,predicted,probability,sha256", *rows, ""]))


def write_models(folder: Path) -> None:
    """Models of the first run, which have learned nothing, a transfer of them to three letters, and a picture."""
    from digit_recognizer.models import build_model
    from digit_recognizer.training.run import find_fold_weights
    from digit_recognizer.training.weights import pack_weights
    from digit_recognizer.transfer_learning.training import transfer

    shutil.rmtree(folder / "runs" / "letters")
    for fold in (0, 1):
        find_fold_weights(folder / "runs" / "one", fold).write_bytes(pack_weights(build_model("dense")))
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        write_letters(Path("letters"), 3, seed=0)
        transfer("runs/one", "letters", run_dir="runs/letters", seeds=1, copies=2, epochs=1)


def write_state(run: Path) -> None:
    """The checkpoint of a run that was stopped in its second fold."""
    from digit_recognizer.training.checkpoint import RunState, TrainingState, pack_state

    epochs = [{"fold": 0, "epoch": epoch, "loss": 1.0, "accuracy": 0.5, "lr": 0.1, "seconds": 1.0} for epoch in (1, 2)]
    arrays = [np.ones((4, 3), np.float32), np.zeros(3, np.float32)]
    counters = {"EarlyStopping": {"wait": 1, "best": 0.5}}
    training = TrainingState(0, 1, False, counters, [{**epochs[0], "fold": 1}], 1.5, None, arrays, arrays, [])
    oof = np.full((60, 10), np.nan, np.float32)
    state = RunState("mine", oof, np.zeros((20, 10), np.float32), 1, epochs, 2.5, 1.5, None, None, {1: training})
    (run / "state.safetensors").write_bytes(pack_state(state))


# ---- what is done to a folder


def draw_value(rng: random.Random) -> Any:
    deep: Any = 1
    for _ in range(rng.choice((15, 200, 900))):
        deep = [deep]
    return rng.choice([
        None, True, False, 0, -1, 1, 2, 0.5, 10**9, 2**63, 10**400, -(10**400), float("nan"), float("inf"), 1e308, "",
        "x", "x" * 100_000, "\x1b[2J", "a\nb", "\0", "../../outside", "outside/secret.txt", "/dev/zero", "=1+1",
        "\ud800",
        "n" * 300, [], {}, [1, 2], ["runs/one"] * 250, [0] * 100_000, {"a": {"b": 1}}, deep, {"x" * 5000: 1}, "nan",
    ])  # fmt: skip


def walk(value: Any, keys: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places in a JSON value."""
    yield keys
    for key, one in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from walk(one, (*keys, key))


def change_json(rng: random.Random, content: Any) -> Any:
    """A value with one entry replaced, removed, doubled or added."""
    *keys, last = rng.choice([place for place in walk(content) if place] or [(None,)])
    if last is None:
        return draw_value(rng)
    place = content
    for key in keys:
        place = place[key]
    kind = rng.choice(("replace", "replace", "replace", "remove", "double", "add"))
    if kind == "remove":
        del place[last]
    elif kind == "double":
        place[last] = [place[last]] * rng.choice((2, 250))
    elif kind == "add" and isinstance(place, dict):
        place[rng.choice(("x", "\x1b", *place))] = draw_value(rng)
    else:
        place[last] = draw_value(rng)
    return content


def change_bytes(rng: random.Random, content: bytes) -> bytes:
    """Bytes flipped, cut out, inserted, or cut off."""
    kind, at = rng.choice(("flip", "cut", "insert", "truncate", "empty")), rng.randrange(len(content) + 1)
    if kind == "flip" and at < len(content):
        return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]
    if kind == "cut":
        return content[:at] + content[at + rng.choice((1, 8, 100)) :]
    if kind == "insert":
        return (
            content[:at]
            + rng.choice((b"\0", b"\xff", b'"', b"{", b"[" * 5000, b"9" * 5000, b",", b"\n"))
            + content[at:]
        )
    return content[:at] if kind == "truncate" else b""


def change_array(rng: random.Random, path: Path) -> None:
    """Other numbers, another type, another shape, or a header that claims more than anybody has."""
    if path.stat().st_size > 1 << 20:  # it was spoilt before
        return
    try:
        array = np.load(path)
    except (OSError, ValueError, EOFError, MemoryError):
        return
    kind = rng.choice(("nan", "value", "dtype", "shape", "sparse", "claim", "objects"))
    if kind == "nan":
        array = np.full(array.shape, np.nan)
    elif kind == "value" and array.size:
        array = array.copy()
        array.flat[rng.randrange(array.size)] = rng.choice(
            (-1, -2, 2, 9, 100, np.nan if array.dtype.kind == "f" else 0)
        )
    elif kind == "dtype":
        array = array.astype(rng.choice(("<f8", "<f2", "<i8", "<u1", "?", "<c8", ">f4", "S3", "<i4")))
    elif kind == "shape":
        shapes = (array[:-1], array[:0], array.ravel(), array[None], np.vstack([array, array]), array.T, array[..., :1])
        array = rng.choice(shapes)
    elif kind == "objects":
        array = np.array([{}] * 3, object)
    if kind in ("sparse", "claim"):
        rows = 10**9 if kind == "claim" else 10**8
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, 10)}
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            if kind == "sparse":
                file.truncate(file.tell() + 40 * rows)
        return
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=True)


def change_state(rng: random.Random, path: Path) -> None:
    """Another entry of a checkpoint, whose checksum is made to fit."""
    from safetensors.numpy import load, save

    from digit_recognizer.training.checkpoint import NO_CHECKSUM, _compute_checksum

    content = path.read_bytes()
    try:
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        described, arrays = json.loads(header["__metadata__"]["state"]), load(content)
    except Exception:  # it was spoilt before
        return
    if rng.random() < 0.3:
        name = rng.choice(list(arrays))
        arrays[name] = rng.choice((arrays[name].astype(np.float64), arrays[name][:-1].copy(), np.zeros(3, np.int8)))
    else:
        described = change_json(rng, described)
    unfinished = save(arrays, {"state": json.dumps(described), "sha256": NO_CHECKSUM})
    place, checksum = _compute_checksum(unfinished)
    path.write_bytes(unfinished[: place.start] + checksum + unfinished[place.stop :])


def put_thing(rng: random.Random, path: Path, outside: Path) -> None:
    """Something else at a file's or folder's place: a link to the reader's own, a pipe, a folder, nothing."""
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    kind = rng.choice(("link", "link", "link", "fifo", "folder", "missing", "loop"))
    if kind == "link":
        targets = (
            outside / "secret.txt",
            outside / "pictures",
            outside / "metrics.json",
            outside,
            Path("/dev/zero"),
            Path("gone"),
        )
        path.symlink_to(rng.choice(targets))
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path.name)


def spoil(rng: random.Random, run: Path, outside: Path) -> str:
    """Spoil one file of a run folder; returns which, and how."""
    files = sorted(path for path in run.rglob("*") if path.is_file() and not path.is_symlink())
    if not files or rng.random() < 0.12:
        name = rng.choice(
            ("log.txt", ".lock", "models", "examination", "figures", "trials", "report.html", "labels.npy")
        )
        put_thing(rng, run / name, outside)
        return f"{name}: something else"
    path = rng.choice(files)
    if rng.random() < 0.1:
        put_thing(rng, path, outside)
        return f"{path.name}: something else"
    if path.suffix == ".json" and rng.random() < 0.8:
        with contextlib.suppress(ValueError, RecursionError):  # spoilt before, by nesting
            path.write_text(json.dumps(change_json(rng, json.loads(path.read_text()))), errors="surrogatepass")
            return f"{path.name}: an entry"
    if path.suffix == ".jsonl" and rng.random() < 0.8:
        with contextlib.suppress(ValueError, IndexError, RecursionError):
            lines = path.read_text().splitlines()
            number = rng.randrange(len(lines))
            lines[number] = json.dumps(change_json(rng, json.loads(lines[number])))
            path.write_text("\n".join([*lines, ""]), errors="surrogatepass")
            return f"{path.name}: an entry"
    if path.suffix == ".npy" and rng.random() < 0.8:
        change_array(rng, path)
        return f"{path.name}: an array"
    if path.suffix == ".safetensors" and rng.random() < 0.8:
        change_state(rng, path)
        return f"{path.name}: an entry, signed"
    with path.open("rb") as file:
        content = file.read(100_000)  # of a sparse file too
    path.write_bytes(change_bytes(rng, content))
    return f"{path.name}: bytes"


# ---- what is done with a folder

COMMANDS: dict[str, list[tuple[str, ...]]] = {
    "one": [("runs",), ("runs", "--json"), ("compare", "runs/one", "runs/two"), ("ensemble", "runs/one", "runs/two"),
            ("cv", "--resume", "runs/one"), ("score", "mine.csv", "--input-dir", "data"), ("load",), ("app",)],
    "both": [("runs", "--csv"), ("compare", "runs/two", "runs/both"), ("ensemble", "runs/both", "runs/two"), ("load",),
             ("app",)],
    "stopped": [("runs",), ("state",), ("compare", "runs/stopped", "runs/two"), ("app",)],
    "letters": [("runs",), ("compare", "runs/letters", "runs/two"), ("letters",), ("app",)],
    "sweep": [("trials",)],
    "submissions": [("score", "submissions/mine.csv", "--input-dir", "data"), ("submissions",),
                    ("submit", "submissions/mine.csv", "--dry-run")],
}  # fmt: skip
PICTURE = "letters/ring/0.png"
SLOW = {  # a second each
    "one": [("report", "runs/one"), ("predict", PICTURE, "--run", "runs/one"),
            ("predict", "--csv", "data/test.csv", "--run", "runs/one", "--output", "out.csv"),
            ("transfer", "runs/one", "--images", "letters", "--run-dir", "out", "--seeds", "1", "--copies", "2",
             "--epochs", "1")],
    "both": [("examine", "runs/both"), ("predict", PICTURE, "--run", "runs/both")],
    "stopped": [("predict", PICTURE, "--run", "runs/stopped"), ("transfer", "runs/stopped", "--images", "letters")],
    "letters": [("predict", PICTURE, "--run", "runs/letters"), ("examine", "runs/letters"),
                ("transfer", "runs/letters", "--images", "letters")],
    "sweep": [("page",)],
}  # fmt: skip
NEED_KERAS = ("cv", "state", "letters", "report", "examine", "predict", "transfer", "app", "page")
PLACES = {"submissions": "submissions"}  # where a folder is, if not in runs/
VIEWS = ("start", "runs", "run?name={0}", "compare?one={0}&other=two", "compare?one=two&other={0}")  # of the app


def read_whole_run(name: str) -> None:
    """What no command reads by itself: the environment, the provenance, the next command."""
    from digit_recognizer.training import run

    path = Path("runs", name)
    found = run.load_run(path)
    str(run.read_result(found, run.find_labels(found)))
    run.format_next_command(path)
    run.read_run_provenance(path)
    run.load_history(path)
    run.load_run_config(path, "cv", "train")


def show_views(run: str) -> None:
    """What the app shows of a run; an answer of 500 is a defect."""
    from starlette.testclient import TestClient

    from digit_recognizer.app.server import build_app

    for view in VIEWS:  # no `with`: nothing is warmed up
        answer = TestClient(build_app(Path("runs")), "http://localhost").get(f"/api/{view.format(run)}")
        print(json.dumps(answer.json())[:10_000])
        if answer.status_code not in (200, 422):
            raise AssertionError(f"{view}: {answer.status_code} {answer.text[:500]}")


def call(command: tuple[str, ...], run: str, folder: Path) -> None:
    if command[0] == "load":
        read_whole_run(run)
    elif command[0] == "app":
        show_views(run)
    elif command[0] == "page":
        from digit_recognizer.sweeps.sweeping import SweepConfig, sweep

        sweep(SweepConfig(Path("some-study.toml"), folder, page_only=True))
    elif command[0] == "trials":
        load_trials(folder / "trials.jsonl")
        load_ensembles(folder / "ensembles.csv")
    elif command[0] == "letters":
        from digit_recognizer.training.transfers import load_transfer
        from digit_recognizer.transfer_learning.report import format_results

        format_results(load_transfer(folder))
    else:
        from digit_recognizer.training.checkpoint import load_checkpoint

        load_checkpoint(folder, "mine", 1 << 24, (60, 20))


def try_command(command: tuple[str, ...], run: str, folder: Path) -> str | None:
    """Run a command; returns what is wrong with how it ended, None if nothing is."""
    out, err = io.StringIO(), io.StringIO()
    more = ("--submission", "out.csv", "--run-dir", "out") if command[0] == "ensemble" else ()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            if command[0] in ("load", "trials", "letters", "state", "app", "page"):
                try:
                    call(command, run, folder)
                except InputError as error:
                    print(clean_lines(str(error)), file=sys.stderr)
            else:
                code = import_command(command[0]).main([*command[1:], *more])
                if code not in (0, 2):
                    return f"exit code {code}"
    except BaseException:
        return traceback.format_exc()
    shown = out.getvalue() + err.getvalue()
    if SECRET in shown and run != "submissions":  # which are the reader's own, links too
        return f"it shows what is outside: {shown}"
    if not all(mark.isprintable() or mark == "\n" for mark in shown):
        return f"it shows control characters: {shown[:500]!r}"
    if err.getvalue().count("\n") > 1 or len(err.getvalue()) > 5000:
        return f"more than a line of error: {err.getvalue()[:500]}"
    return None


def take_snapshot(folder: Path) -> str:
    """The names, sizes and contents of all that lies in a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(f"{path.relative_to(folder)} {path.lstat().st_mtime_ns}".encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def run_cases(folder: Path, numbers: range, seed: int, with_keras: bool, report: Callable[[str], None]) -> Counter[str]:
    """Run cases by number: a case is the same whichever others are run. The current folder changes."""
    place, healthy = folder / "place", folder / "healthy"
    counts: Counter[str] = Counter()
    for number in numbers:
        rng = random.Random(f"{seed} {number}")
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(healthy, place)
        os.chdir(place)
        run = rng.choice(list(COMMANDS))
        target = place / PLACES.get(run, f"runs/{run}")
        done = [spoil(rng, target, place / "outside") for _ in range(rng.choice((1, 1, 2, 3)))]
        outside = [take_snapshot(place / name) for name in ("outside", "data")]
        commands = rng.sample(COMMANDS[run], min(2, len(COMMANDS[run])))
        commands += [rng.choice(SLOW[run])] if run in SLOW and number % 10 == 0 else []
        for command in commands:
            if command[0] in NEED_KERAS and not with_keras:
                continue
            started = time.perf_counter()
            with within_bounds(MAX_SECONDS, MAX_BYTES):
                fault = try_command(command, run, target)
            counts["commands"] += 1
            counts["slowest, ms"] = max(counts["slowest, ms"], round(1000 * (time.perf_counter() - started)))
            if fault is None and outside != [take_snapshot(place / name) for name in ("outside", "data")]:
                fault = "something outside the run folder has changed"
            if fault is None and holds_secret(target):
                fault = "something outside was copied into the run folder"
            if fault:
                counts["faults"] += 1
                report(f"case {number} ({run}: {'; '.join(done)}), {' '.join(command)}:\n{fault}")
        counts["cases"] += 1
    return counts


def holds_secret(folder: Path) -> bool:
    """Whether a file of a run folder holds what is outside."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return any(SECRET.encode() in path.read_bytes() for path in files if path.stat().st_size < 1 << 20)


def prepare(folder: Path, with_keras: bool) -> None:
    """The healthy place, in `folder`."""
    (folder / "healthy").mkdir(parents=True)
    build_place(folder / "healthy")
    if with_keras:
        write_models(folder / "healthy")
        write_state(folder / "healthy" / "runs" / "stopped")


def main() -> int:
    """Run the cases and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--with-keras", action="store_true", help="also models, checkpoints, drawings and the app")
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="mutated-folders-"))
    os.environ |= {"XDG_CACHE_HOME": str(folder / "cache"), "HOME": str(folder), "KAGGLE_CONFIG_DIR": str(folder)}
    prepare(folder, chosen.with_keras)
    started = time.perf_counter()
    numbers = range(chosen.first, chosen.first + chosen.cases)
    counts = run_cases(folder, numbers, chosen.seed, chosen.with_keras, print)
    counts["most memory of the process, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    counts["seconds"] = round(time.perf_counter() - started)
    os.chdir("/")
    shutil.rmtree(folder)
    print(", ".join(f"{name}: {count:,}" for name, count in counts.items()))
    return int(counts["faults"] > 0)


if __name__ == "__main__":
    sys.exit(main())
