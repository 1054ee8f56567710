"""Pin what the package does: run it in many small cases, then compare two versions of it, value by value.

    python benchmarks/golden.py CHECKOUT --data ../shared/data --output before.json
    python benchmarks/golden.py CHECKOUT --data ../shared/data --output again.json --only champion resume-kill
    python benchmarks/golden.py --compare before.json after.json

The first form runs the cases against the package in CHECKOUT, in temporary folders, and writes what it found: hashes,
scores, learning curves, tables. The arrays themselves go to a folder beside it (before.arrays/), so that differences
can be measured. Without --only all cases run; --list shows their names. DATA is the folder that holds
digit-recognizer.zip, fashion-mnist/, handwritten/ and greek/.

The third form prints one line per case: equal, or which values differ and by how much. Its exit code is 1 if any does.
Only what is in the first file is looked for in the second, so a version may record more than an earlier one. Wording
is never compared.

All runs name their precision, since the default times the machine. They use as many threads as there are, so compare
files of one machine only. Numbers were equal to the bit in repeated runs on two CPU threads.
"""

import argparse
import ast
import contextlib
import csv
import hashlib
import importlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

# The cases are written in the new words. A checkout whose config.py does not know a new word is given the old one.
FIELDS = {  # new: old; as flags, as fields of config.json and as entries of a study
    "model_args": "net",
    "limit_train": "train_rows",
    "limit_test": "test_rows",
    "tta": "shifted_copies",
    "validation_fraction": "watch_fraction",
    "patience": "early_stopping_epochs",
    "preprocess": "preparation",
    "synthetic_ratio": "generated",
    "split_seed": "fold_seed",
    "cached_augmentations": "feature_views",
}
HISTORY = {  # columns of history.csv; new: old ones, of which a row has one at most in the cases below
    "lr": ["learning_rate"],
    "val_loss": ["watched_loss", "held_out_loss"],
    "val_accuracy": ["watched_accuracy", "held_out_accuracy"],
}
METRICS = {  # new: old
    "ineligible": "unfit_for_competition",
    "most_frequent_confusion": "costliest_confusion",
    "evaluated_pictures": "judged_pictures",
}

# of config.json; not compared
PLACES = ("input_dir", "run_dir", "submission", "tensorboard", "verb", "subcommand", "command")
NUMBERS = (
    *("model", "seed", "oof_accuracy", "oof_accuracy_interval", "fold_accuracies", "calibration_error", "precision"),
    *("train_sha256", "test_sha256", "shared_test_rows", "duplicates", "single_split", "untrained_accuracy"),
)  # of metrics.json, as they are
COLUMNS = ("fold", "epoch", "loss", "accuracy", "lr", "val_loss", "val_accuracy")
TRANSFER = (
    *("classes", "training_pictures", "parameters", "evaluated_pictures", "seeds", "accuracy", "nearest_class_mean"),
    *("nearest_neighbours", "accuracy_per_class"),
)

USER, KEY, COMPETITION, TEST_ROWS = "digit-lover", "0123456789abcdef0123456789abcdef", "digit-recognizer", 28_000
COMMANDS_PER_PROCESS = 12  # what TensorFlow keeps of each would fill the memory
SECONDS_PER_COMMAND = 900
SHOWN = 12  # differing values of one case
Values = dict[str, Any]


class FailedError(Exception):
    """A command of the package did not end well."""


class Worker:
    """A process that runs commands of the package one after the other, so that TensorFlow starts once."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment, self.folder = environment, folder
        self.process: subprocess.Popen[str] | None = None
        self.done = 0

    def ask(self, request: Values) -> Values:
        """Have a request answered (see `work`)."""
        if self.process is None or self.done == COMMANDS_PER_PROCESS:
            self.close()
            with (self.folder / "worker.log").open("a") as log:
                self.process = subprocess.Popen(
                    [sys.executable, "-P", str(Path(__file__).resolve()), "--work"],
                    cwd=self.folder,
                    env=self.environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
        process = self.process
        assert process is not None and process.stdin is not None and process.stdout is not None
        self.done += 1
        timer = threading.Timer(SECONDS_PER_COMMAND, process.kill)
        timer.start()
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            self.close()
            raise FailedError(f"the process that ran {request} has ended")
        answer: Values = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
        self.process, self.done = None, 0


def work() -> None:
    """What the process of a `Worker` does: answer requests, one line of JSON each.

    {"command": NAME, "arguments": [...]} runs a command of the package; {"weights": FILE} describes a saved net.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever prints without being asked must not end up among the answers
    for line in sys.stdin:
        request = json.loads(line)
        if "weights" in request:
            answer = describe_weights(Path(request["weights"]))
        else:
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                try:
                    main = importlib.import_module(f"digit_recognizer.{request['command']}").main
                    code = main(request["arguments"])
                except SystemExit as stop:
                    code = stop.code
                except Exception as error:
                    code = f"{type(error).__name__}: {error}"
            answer = {"code": code, "out": out.getvalue(), "err": err.getvalue()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def describe_weights(path: Path) -> Values:
    """Hash a net's weights, whatever they are called and in whatever order they are stored."""
    if path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        arrays = list(load_file(path).values())
    else:
        import keras

        arrays = [np.asarray(weight) for weight in keras.saving.load_model(path, compile=False).weights]
        keras.backend.clear_session()
    arrays = [np.ascontiguousarray(array, np.float32) for array in arrays if array.dtype.kind == "f"]
    each = sorted(f"{hashlib.sha256(array.tobytes()).hexdigest()} {array.shape}" for array in arrays)
    norms = sorted((str(array.shape), float(np.linalg.norm(array.astype(np.float64)))) for array in arrays)
    return {
        "sha256": hash_text("\n".join(each)),
        "parameters": sum(array.size for array in arrays),
        "shapes": [shape for shape, _ in norms],
        "norms": [norm for _, norm in norms],
    }


class Session:
    """One checkout under test: its words, its commands, and the folder in which they run."""

    def __init__(self, checkout: Path, data: Path, folder: Path, arrays: Path) -> None:
        self.checkout, self.data, self.folder, self.arrays = checkout, data, folder, arrays
        text = (checkout / "digit_recognizer" / "config.py").read_text(encoding="utf-8")
        self.words: dict[str, str] = {}
        for new, old in FIELDS.items():
            known = [word for word in (new, old) if re.search(rf"^ +{word} *:", text, re.MULTILINE)]
            if not known:
                raise SystemExit(f"config.py knows neither {new} nor {old}: correct FIELDS")
            self.words[new] = known[0]
        (folder / "home").mkdir()
        foreign = ("KAGGLE", "MLFLOW", "DIGIT_RECOGNIZER", "PYTHONPATH")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign) and "proxy" not in k.lower()}
        self.plain = {
            **kept,
            "HOME": str(folder / "home"),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "NO_ALBUMENTATIONS_UPDATE": "1",
            "MPLBACKEND": "agg",
        }
        self.environment = {**self.plain, "PYTHONPATH": str(checkout)}
        self.commands, self.reader = Worker(self.environment, folder), Worker(self.plain, folder)
        self.name = ""  # of the case under way

    def translate(self, arguments: Iterable[str]) -> list[str]:
        """Arguments in the words that the checkout knows."""
        flags = {f"--{new.replace('_', '-')}": f"--{own.replace('_', '-')}" for new, own in self.words.items()}
        return [flags.get(argument, argument) for argument in arguments]

    def call(self, command: str, *arguments: str) -> str:
        """Run a command in the process that is kept for that; return what it printed."""
        request = {"command": command, "arguments": self.translate(arguments)}
        answer = self.commands.ask(request)
        if answer["code"] not in (0, None):
            raise FailedError(f"{command}: {answer['code']}: {answer['err'].strip()[-300:]}")
        printed: str = answer["out"]
        return printed

    def start(
        self, command: str, *arguments: str, folder: str = ".", more: dict[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start a command in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", f"digit_recognizer.{command}", *self.translate(arguments)],
            cwd=self.folder / folder,
            env={**self.environment, **(more or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, command: str, *arguments: str, folder: str = ".", more: dict[str, str] | None = None) -> str:
        """Run a command in a process of its own; return what it printed."""
        process = self.start(command, *arguments, folder=folder, more=more)
        try:
            out, err = process.communicate(timeout=SECONDS_PER_COMMAND)
        finally:
            process.kill()
        if process.returncode:
            raise FailedError(f"{command}: {process.returncode}: {err.strip()[-300:]}")
        return out

    def fetch(self, name: str) -> str:
        """A data set as `download` leaves it, made once: sample, real or fashion; its folder's name."""
        source = {"real": "digit-recognizer.zip", "fashion": "fashion-mnist"}.get(name)
        if not (self.folder / name).exists():
            self.call("download", str(self.data / source) if source else name, "--input-dir", name)
        return name

    def fit(self, name: str, *arguments: str, command: str = "cv", data: str = "sample", apart: bool = False) -> str:
        """Make a run, once; its folder."""
        run = f"runs/{name}"
        if not (self.folder / run).exists():
            given = [*arguments, "--input-dir", self.fetch(data), "--run-dir", run]
            if not {"--limit-test", "--smoke"} & set(arguments):
                given += ["--submission", f"submissions/{name}.csv"]
            (self.run if apart else self.call)(command, *given)
        return run

    def keep(self, name: str, array: np.ndarray) -> Values:
        """Write an array beside the results; describe it."""
        file = f"{self.name}.{name}.npy"
        np.save(self.arrays / file, array)
        finite = array[np.isfinite(array)].astype(np.float64)
        said: Values = {
            "file": file,
            "sha256": hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest(),
            "dtype": str(array.dtype),
            "shape": list(array.shape),
            "not_finite": int(array.size - finite.size),
            "mean": float(finite.mean()) if finite.size else None,
            "deviation": float(finite.std()) if finite.size else None,
        }
        if array.ndim == 2:
            said["argmax_sha256"] = hashlib.sha256(find_classes(array).astype(np.int64).tobytes()).hexdigest()
        return said

    def read_run(self, run: str, name: str = "") -> Values:
        """All that a finished run left and that has a meaning in either version."""
        folder, prefix = self.folder / run, f"{name}." if name else ""
        metrics = json.loads((folder / "metrics.json").read_text())
        confusion = find(metrics, "most_frequent_confusion", METRICS["most_frequent_confusion"]) or {}
        found: Values = {
            "config": self.read_config(folder),
            "metrics": {name: metrics[name] for name in NUMBERS if name in metrics},
            "history": read_history(folder / "history.csv"),
        }
        found["metrics"]["duplicates"] = sorted(found["metrics"].get("duplicates", {}).values())
        found["metrics"]["ineligible"] = bool(find(metrics, "ineligible", METRICS["ineligible"]))
        found["metrics"]["confusion"] = [confusion.get(key) for key in ("label", "prediction", "rows")]
        for array in ("oof_probabilities", "test_probabilities", "folds"):
            if (folder / f"{array}.npy").exists():
                found[array] = self.keep(prefix + array, np.load(folder / f"{array}.npy"))
        if (folder / "models").is_dir():
            found["weights"] = self.read_weights(folder / "models")
        if metrics.get("submission"):
            found["submission"] = self.read_submission(metrics["submission"], prefix)
        return found

    def read_config(self, folder: Path) -> Values:
        """A run's configuration in the new words."""
        content = json.loads((folder / "config.json").read_text())
        new_word = {own: new for new, own in self.words.items()}
        config = {new_word.get(name, name): value for name, value in content.items() if name not in PLACES}
        config["model_args"] = list_options(config.get("model_args"))
        return config

    def read_weights(self, folder: Path) -> Values:
        """The weights of the nets in a folder, by the files' names without their endings."""
        files = {path.stem: path for ending in ("keras", "safetensors") for path in folder.glob(f"*.{ending}")}
        return {stem: self.reader.ask({"weights": str(path)}) for stem, path in sorted(files.items())}

    def read_submission(self, path: str, prefix: str = "") -> Values:
        """A submission: its bytes, its labels and, where the data come with test labels, its accuracy."""
        content = (self.folder / path).read_bytes()
        labels = np.loadtxt(io.BytesIO(content), int, delimiter=",", skiprows=1)[:, 1]
        said: Values = {"sha256": hashlib.sha256(content).hexdigest(), "labels": self.keep(f"{prefix}labels", labels)}
        for answers in self.folder.glob("*/test_labels.csv"):
            truth = np.loadtxt(answers, int, delimiter=",", skiprows=1)[:, 1]
            if len(truth) == len(labels):
                said["test_accuracy"] = float((truth == labels).mean())
        return said

    def close(self) -> None:
        """End the processes."""
        self.commands.close()
        self.reader.close()


def hash_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def find(content: Values, *names: str) -> Any:
    """The value of the first name that there is."""
    return next((content[name] for name in names if name in content), None)


def find_classes(probabilities: np.ndarray) -> np.ndarray:
    """The likeliest class of each row; -1 where there is none."""
    judged = np.isfinite(probabilities).all(axis=1)
    return np.where(judged, np.where(judged[:, None], probabilities, 0).argmax(axis=1), -1)


def list_options(options: Any) -> list[str]:
    """A net's options as NAME=VALUE, whether they were kept as such or as a dictionary."""
    pairs = [f"{name}={value}" for name, value in options.items()] if isinstance(options, dict) else options or []
    return sorted(pairs)


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_history(path: Path) -> Values:
    """The columns of a history.csv that mean something in either version."""
    rows = read_table(path)
    found: Values = {}
    for column in COLUMNS:
        cells = [find({k: v for k, v in row.items() if v}, column, *HISTORY.get(column, [])) for row in rows]
        if any(cells):
            found[column] = [None if cell is None else float(cell) for cell in cells]
    return found


def read_numbers(text: str) -> Values:
    """The numbers in printed text, as they are written, without the names of files and the level of intervals."""
    text = re.sub(r"\S*/\S*|95 ?%", " ", text)
    return {
        "printed": sorted(
            number.replace(",", "") for number in re.findall(r"[+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?", text)
        )
    }


CASES: dict[str, Callable[[Session], Values]] = {}


def case(name: str) -> Callable[[Callable[[Session], Values]], Callable[[Session], Values]]:
    """Enter a function under a name; what it returns is recorded."""

    def enter(function: Callable[[Session], Values]) -> Callable[[Session], Values]:
        CASES[name] = function
        return function

    return enter


SMALL = ("--precision", "float32", "--folds", "2", "--batch-size", "64")
TWO = (*SMALL, "--epochs", "2")


def enter_fit(
    name: str, arguments: str, common: Iterable[str] = TWO, command: str = "cv", data: str = "sample"
) -> None:
    """Enter a case that is one run of `cv` or `train`; a flag among the arguments overrides a common one."""
    given = arguments.split()
    pairs = list(zip(*[iter(common)] * 2, strict=True))
    flags = [*given, *(part for flag, value in pairs if flag not in given for part in (flag, value))]
    CASES[name] = lambda session: session.read_run(session.fit(name, *flags, command=command, data=data))


@case("download")
def download(session: Session) -> Values:
    return {
        name: {path.name: hash_text(path.read_text()) for path in sorted((session.folder / name).glob("*.csv"))}
        for name in map(session.fetch, ("sample", "real", "fashion"))
    }


for model in ("baseline", "padded", "champion", "residual", "alexnet", "convolutional", "journal", "lenet5"):
    enter_fit(model, f"--model {model}")
for model in ("narrow", "resnet", "wide", "dense"):
    enter_fit(model, f"--model {model}")
enter_fit("vgg16", "--model vgg16 --weights none --limit-train 200 --limit-test 60 --batch-size 20 --epochs 6")
enter_fit(
    "vgg16-unfrozen",
    "--model vgg16 --weights none --limit-train 60 --limit-test 20 --batch-size 10 --epochs 1 --unfreeze block5 "
    "--unfreeze-epochs 1 --cached-augmentations 2 --augmentation affine",
)
enter_fit("champion-bfloat16", "--model champion --precision bfloat16")
enter_fit("model-args", "--model narrow --model-args dropout=0.3 kernel_px=4")
enter_fit("early-stopping", "--model baseline --epochs 8 --learning-rate 0.01 --patience 1 --validation-fraction 0.2")
enter_fit("plateau", "--model padded --epochs 6 --learning-rate 0.05 --schedule plateau --validation-fraction 0.3")
for schedule in ("constant", "step", "cosine"):
    enter_fit(schedule, f"--model baseline --epochs 4 --schedule {schedule}")
for augmentation in ("none", "affine", "elastic", "cutout", "all"):
    enter_fit(f"augmentation-{augmentation}", f"--model narrow --augmentation {augmentation}")
enter_fit("augmentation-flip", "--model narrow --augmentation flip --limit-train 1000", data="fashion")
for preprocess in ("deskew", "widen"):
    enter_fit(f"preprocess-{preprocess}", f"--model narrow --preprocess {preprocess}")
enter_fit("synthetic", "--model narrow --synthetic-ratio 0.5 --limit-train 300")
for copies in (5, 9):
    enter_fit(f"tta-{copies}", f"--model baseline --tta {copies}")
enter_fit("label-smoothing", "--model baseline --label-smoothing 0.1")
enter_fit("adagrad", "--model narrow --optimizer adagrad --weight-decay 0.01")
enter_fit("seeds", "--model narrow --seed 3 --split-seed 1")
enter_fit("limited", "--model narrow --limit-train 400 --limit-test 100")
enter_fit("smoke", "--model baseline --smoke --precision float32", common=())
enter_fit("single-split", "--model narrow --folds 5 --epochs 3", command="train")
enter_fit("real-baseline", "--model baseline --limit-train 4000", data="real")
enter_fit("real-champion", "--model champion --limit-train 2000 --limit-test 4000", data="real")


def stop_and_resume(session: Session, how: signal.Signals, *arguments: str) -> Values:
    """A run that is stopped after its first finished epoch and resumed, beside one that is not."""
    whole = session.fit(f"{session.name}-whole", *arguments)
    run, submission = f"runs/{session.name}-stopped", f"submissions/{session.name}-stopped.csv"
    places = ["--input-dir", session.fetch("sample"), "--run-dir", run, "--submission", submission]
    process = session.start("cv", *arguments, *places)
    while process.poll() is None and not any(map(holds_state, (session.folder / run).glob("*"))):
        time.sleep(0.005)
    process.send_signal(how)
    process.communicate()
    stopped = not (session.folder / run / "metrics.json").exists()
    session.run("cv", "--resume", run)
    found = {"whole": session.read_run(whole, "whole"), "resumed": session.read_run(run, "resumed")}
    same = [strip_names(one) for one in found.values()]
    return {**found, "exit_code": process.returncode, "stopped": stopped, "resumed_is_equal": same[0] == same[1]}


def holds_state(path: Path) -> bool:
    """Whether a file of a run folder is that by which the run could be resumed."""
    return not path.name.startswith(".") and bool(re.search("state|checkpoint", path.name))


def strip_names(values: Any) -> Any:
    """The same without the names of files that arrays are kept in."""
    if isinstance(values, dict):
        return {name: strip_names(value) for name, value in values.items() if name != "file"}
    return values


@case("resume-kill")
def resume_kill(session: Session) -> Values:
    arguments = "--model baseline --epochs 3 --batch-size 20 --folds 2 --precision float32"
    return stop_and_resume(session, signal.SIGKILL, *arguments.split())


@case("resume-terminate")
def resume_terminate(session: Session) -> Values:
    arguments = "--model padded --epochs 6 --batch-size 20 --folds 2 --precision float32 --schedule plateau"
    more = "--patience 2 --validation-fraction 0.3 --learning-rate 0.05"
    return stop_and_resume(session, signal.SIGTERM, *arguments.split(), *more.split())


@case("resume-champion")
def resume_champion(session: Session) -> Values:
    arguments = "--model champion --epochs 3 --batch-size 32 --folds 2 --precision bfloat16 --limit-train 600"
    return stop_and_resume(session, signal.SIGKILL, *arguments.split())


@case("ray")
def ray(session: Session) -> Values:
    arguments = ("--model", "narrow", *TWO, "--task-cpus", "1")
    local = session.fit("ray-local", *arguments, "--executor", "local", apart=True)
    remote = session.fit("ray-remote", *arguments, "--executor", "ray", apart=True)
    found = {"local": session.read_run(local, "local"), "ray": session.read_run(remote, "ray")}
    same = [strip_names(one) for one in found.values()]
    return {**found, "ray_is_equal": same[0] == same[1]}


def fit_first(session: Session) -> str:
    arguments = "--model baseline --epochs 6 --batch-size 32 --folds 2 --precision float32 --learning-rate 0.001"
    return session.fit("first", *arguments.split())


def fit_second(session: Session) -> str:
    arguments = "--model narrow --epochs 6 --batch-size 32 --folds 2 --precision float32 --seed 1"
    return session.fit("second", *arguments.split())


@case("pair")
def pair(session: Session) -> Values:
    runs = {"first": fit_first(session), "second": fit_second(session)}
    return {name: session.read_run(run, name) for name, run in runs.items()}


@case("compare")
def compare_runs(session: Session) -> Values:
    return {"numbers": read_numbers(session.call("compare", fit_first(session), fit_second(session)))}


@case("ensemble")
def ensemble(session: Session) -> Values:
    members = [fit_first(session), fit_second(session)]
    found: Values = {}
    for method in ("mean", "vote"):
        path = f"submissions/ensemble-{method}.csv"
        printed = session.call("ensemble", *members, "--method", method, "--submission", path)
        found[method] = {"submission": session.read_submission(path, f"{method}."), "numbers": read_numbers(printed)}
    return found


@case("score")
def score(session: Session) -> Values:
    fit_first(session)
    return {"numbers": read_numbers(session.call("score", "submissions/first.csv", "--input-dir", "sample"))}


@case("predict")
def predict(session: Session) -> Values:
    """The packaged net reads the pictures of single digits, and the sheets."""
    found = read_pictures(session, "read.csv", "handwritten")
    truth = {row["file"]: row["label"] for row in read_table(session.data / "handwritten" / "labels.csv")}
    digits: dict[str, list[str]] = {}
    for file, digit in zip(found["rows"]["file"], found["rows"]["digit"], strict=True):
        digits.setdefault(file.removeprefix("handwritten/"), []).append(digit)
    right = sum(digits.get(file) == [label] for file, label in truth.items())
    return {**found, "pictures": len(truth), "right": right}


@case("predict-run")
def predict_run(session: Session) -> Values:
    """Nets of a run read the sheets, and the run's own test.csv."""
    run = fit_first(session)
    found = read_pictures(session, "read-run.csv", "handwritten/sheets", "--run", run)
    path = "submissions/again.csv"
    session.call("predict", "--csv", "sample/test.csv", "--run", run, "--output", path)
    return {**found, "table": session.read_submission(path)}


def read_pictures(session: Session, output: str, pictures: str, *more: str) -> Values:
    # in a process of its own: one that has opened the packaged net may write no submission
    session.run("predict", str(session.data / pictures), "--output", output, *more)
    rows = read_table(session.folder / output)
    columns = ("file", "digit", "probability", "x", "y", "width", "height")
    table = {column: [row[column].removeprefix(f"{session.data}/") for row in rows] for column in columns}
    return {"rows": table}


@case("transfer")
def transfer(session: Session) -> Values:
    arguments = ("--seeds", "2", "--copies", "20", "--epochs", "5", "--test", str(session.data / "greek" / "test"))
    return transfer_greek(session, "ready", *arguments)


@case("transfer-run")
def transfer_run(session: Session) -> Values:
    """A run's net, its last layers trained too, judged on training pictures that are held out by turns."""
    arguments = "--seeds 1 --copies 10 --epochs 3 --unfreeze embedding --unfreeze-epochs 1"
    return transfer_greek(session, fit_second(session), *arguments.split())


def transfer_greek(session: Session, net: str, *arguments: str) -> Values:
    run = session.folder / "runs" / session.name
    session.run("transfer", net, "--images", str(session.data / "greek" / "train"), "--run-dir", str(run), *arguments)
    metrics, rows = json.loads((run / "metrics.json").read_text()), read_table(run / "predictions.csv")
    return {
        "metrics": {name: metrics[old] for name in TRANSFER for old in (name, METRICS.get(name)) if old in metrics},
        "history": read_history(run / "history.csv"),
        "rows": {column: [row[column] for row in rows] for column in ("file", "label", "predicted", "probability")},
        "weights": next(iter(session.read_weights(run / "models").values())),
    }


STUDY = """
title = "Small"
seeds = 2
input_dir = "sample"
{more}
[fixed]
model = "dense"
epochs = 3
batch_size = 64
folds = 2
{split_seed} = 0
{limit_train} = 400
precision = "float32"
"""


@case("sweep-grid")
def sweep_grid(session: Session) -> Values:
    grid = "[[grid]]\n{model_args}.units = [4, 8]\nlearning_rate = [0.01, 0.1]\n"
    return sweep(session, STUDY.replace("{more}", "") + grid)


@case("sweep-search")
def sweep_search(session: Session) -> Values:
    search = "[search]\n{model_args}.units = [4, 8, 16]\nlearning_rate = { low = 1e-3, high = 1e-1, log = true }\n"
    more = 'method = "tpe"\ntrials = 6\nat_once = 2'
    return sweep(session, STUDY.replace("{more}", more) + search)


def sweep(session: Session, study: str) -> Values:
    """Run a study; what each trial's own folder holds, by the trial's setting and seed."""
    for new, own in session.words.items():
        study = study.replace("{" + new + "}", own)
    session.fetch("sample")
    (session.folder / f"{session.name}.toml").write_text(study)
    run = session.folder / "runs" / session.name
    session.run("sweep", f"{session.name}.toml", "--run-dir", str(run))
    trials: Values = {}
    for metrics in run.rglob("metrics.json"):
        config = session.read_config(metrics.parent)
        name = " ".join([*config["model_args"], f"lr={config['learning_rate']:.8g}", f"seed={config['seed']}"])
        trials[name] = session.read_run(str(metrics.parent.relative_to(session.folder)), f"trial{hash_text(name)[:8]}")
    table = read_table(run / "results.csv")
    accuracies = sorted(float(row["accuracy"]) for row in table if row.get("accuracy"))
    return {"trials": dict(sorted(trials.items())), "count": len(trials), "accuracies": accuracies}


class Kaggle(ThreadingHTTPServer):
    """A stand-in for Kaggle's service on the loopback. It takes all, and keeps every request but what is volatile."""

    daemon_threads = True

    def __init__(self, archive: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.archive = archive
        self.requests: list[list[Any]] = []
        self.submissions: list[Values] = []

    def take_requests(self) -> Values:
        """The requests since the last call, in their order, with the names of all their fields."""
        taken, self.requests = self.requests, []
        found: Values = {"count": len(taken)}
        for number, (method, path, body) in enumerate(taken, 1):
            fields = sorted(body) if isinstance(body, dict) else []
            found[f"{number} {method} {path}"] = {"fields": fields, "body": body}
        return found

    @property
    def environment(self) -> dict[str, str]:
        """The variables under which Kaggle's own client talks to this server, and to nothing else."""
        proxy = f"http://127.0.0.1:{self.server_port}"
        login = {"KAGGLE_USERNAME": USER, "KAGGLE_KEY": KEY}
        return {"KAGGLE_API_ENVIRONMENT": "LOCALHOST", "HTTP_PROXY": proxy, "http_proxy": proxy, **login}


class Handler(BaseHTTPRequestHandler):
    """One connection to `Kaggle`; requests for the service's methods are answered by those of the same names."""

    protocol_version = "HTTP/1.1"
    server: Kaggle

    def log_message(self, *_: Any) -> None:
        """Silent."""

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or "{}")
        self.server.requests.append(["POST", path, hide_volatile(body)])
        answer = getattr(self, path.rsplit("/", 1)[-1])(body)
        if answer is not None:
            self.answer(200, json.dumps(answer).encode())

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(["PUT", urlsplit(self.path).path, hashlib.sha256(content).hexdigest()])
        self.answer(200, b"{}")

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.server.requests.append(["GET", path, None])
        content = b"of a kernel" if path.startswith("/output/") else self.server.archive.read_bytes()
        self.answer(200, content, **{"Content-Type": "application/octet-stream"})

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        kept = {"Content-Type": "application/json", "Content-Length": str(len(body)), "ETag": '"one"'}
        dated = {"Last-Modified": "Tue, 01 Jul 2025 10:00:00 GMT", "Accept-Ranges": "bytes"}
        for key, value in {**kept, **dated, **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def DownloadDataFiles(self, body: Values) -> None:
        self.answer(302, b"{}", Location="http://localhost/data/archive.zip")

    def StartSubmissionUpload(self, body: Values) -> Values:
        self.file_name = body["fileName"]
        return {"token": "token", "createUrl": "http://localhost/upload/token"}

    def CreateSubmission(self, body: Values) -> Values:
        name = next(sent["fileName"] for _, path, sent in self.server.requests[::-1] if "StartSubmission" in path)
        made = {"ref": 1000 + 7 * len(self.server.submissions), "date": "2026-11-21T20:15:00Z", "fileName": name}
        self.server.submissions.append({**made, "description": body.get("submissionDescription", "")})
        return {"message": "Successfully submitted to Digit Recognizer", "ref": made["ref"]}

    def GetSubmissionLimits(self, body: Values) -> Values:
        made = len(self.server.submissions)
        return {"numToday": made, "numTotal": made, "numAllowedNow": 10 - made, "limitedByTotal": False}

    def ListSubmissions(self, body: Values) -> Values:
        return {"submissions": [{**made, **SCORED} for made in self.server.submissions[::-1]], "nextPageToken": ""}

    def GetSubmission(self, body: Values) -> Values:
        return {**next(made for made in self.server.submissions if made["ref"] == body["ref"]), **SCORED}

    def SaveKernel(self, body: Values) -> Values:
        slug = body["slug"]
        return {"ref": f"/code/{slug}", "url": f"https://www.kaggle.com/code/{slug}", "versionNumber": 1}

    def GetKernelSessionStatus(self, body: Values) -> Values:
        return {"status": "COMPLETE"}

    def ListKernelSessionOutput(self, body: Values) -> Values:
        files = [{"fileName": name, "url": f"http://localhost/output/{name}"} for name in ("a.txt", "b.txt")]
        return {"files": files, "log": "", "nextPageToken": ""}


SCORED = {"status": "COMPLETE", "publicScore": "0.98765", "privateScore": ""}


def hide_volatile(body: Values) -> Values:
    """A request's body without times, and with facts about a kernel's code in place of the code."""
    body = dict(body)
    if "lastModifiedEpochSeconds" in body:
        body["lastModifiedEpochSeconds"] = "a time"
    if "text" in body:
        code = body["text"]
        if body.get("kernelType") == "notebook":
            cells = [cell for cell in json.loads(code)["cells"] if cell["cell_type"] == "code"]
            code = "\n".join("".join(cell["source"]) for cell in cells)
        set_here = {}
        for node in ast.parse(re.sub(r"^[!%].*$", "", code, flags=re.MULTILINE)).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                with contextlib.suppress(ValueError):
                    set_here[node.targets[0].id] = ast.literal_eval(node.value)
        facts = {name: set_here.get(name) for name in ("SETTINGS", "HOURS")}
        body["text"] = {**facts, "short_enough": len(body["text"].encode()) < 1_000_000}
    return body


@contextlib.contextmanager
def serve_kaggle(session: Session) -> Iterator[Kaggle]:
    with Kaggle(session.data / "digit-recognizer.zip") as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


def write_labels(path: Path, labels: Iterable[int]) -> None:
    path.write_text("ImageId,Label\n" + "".join(f"{row},{label}\n" for row, label in enumerate(labels, 1)))


@case("submit")
def submit(session: Session) -> Values:
    """A file by hand: checked, handed in, not handed in twice; another one, whose score is asked for later."""
    folder = session.folder / "submit"
    (folder / "input").mkdir(parents=True)
    (folder / "input" / "test.csv").write_text("its bytes are hashed, no more\n")
    write_labels(folder / "input" / "sample_submission.csv", [0] * TEST_ROWS)
    write_labels(folder / "mine.csv", (row % 10 for row in range(TEST_ROWS)))
    write_labels(folder / "other.csv", (row % 7 for row in range(TEST_ROWS)))
    found: Values = {}
    with serve_kaggle(session) as server:
        for step, command, arguments in (
            ("dry run", "submit", ["mine.csv", "--dry-run"]),
            ("first time", "submit", ["mine.csv", "-m", "golden"]),
            ("second time", "submit", ["mine.csv", "-m", "golden"]),
            ("without waiting", "submit", ["other.csv", "-m", "golden too", "--no-wait"]),
            ("refreshed", "submissions", ["--refresh"]),
        ):
            session.run(command, *arguments, folder="submit", more=server.environment)
            found[step] = server.take_requests()
    ledger = read_table(folder / "submissions" / "ledger.csv")
    hashes = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("mine.csv", "other.csv")]
    cells = [set(row.values()) for row in ledger]
    wanted = zip(hashes, ("1000", "1007"), ("golden", "golden too"), strict=True)
    found["ledger"] = [
        {sha256, ref, message, "0.98765"} <= row for (sha256, ref, message), row in zip(wanted, cells, strict=True)
    ]
    return found


@case("kernel")
def kernel(session: Session) -> Values:
    (session.folder / "kernel").mkdir()
    found: Values = {}
    with serve_kaggle(session) as server:
        for step, arguments in (
            ("build script", ["build", "baseline"]),
            ("push script", ["push", "kernels/baseline"]),
            ("status", ["status", "kernels/baseline"]),
            ("output", ["output", "kernels/baseline", "--output-dir", "fetched"]),
            ("build notebook", ["notebook", "champion", "--gpu"]),
            ("push notebook", ["push", "kernels/notebook-champion"]),
            ("build transfer net", ["build", "vgg16", "--owner", "somebody"]),
            ("push transfer net", ["push", "kernels/vgg16"]),
        ):
            session.run("kernel", *arguments, folder="kernel", more=server.environment)
            found[step] = server.take_requests()
    found["fetched"] = sorted(path.name for path in (session.folder / "kernel" / "fetched").rglob("*.txt"))
    return found


@case("download-kaggle")
def download_kaggle(session: Session) -> Values:
    (session.folder / "download").mkdir()
    with serve_kaggle(session) as server:
        session.run("download", "kaggle", folder="download", more=server.environment)
        files = sorted((session.folder / "download" / "input").glob("*.csv"))
        return {"requests": server.take_requests(), "files": {path.name: hash_text(path.read_text()) for path in files}}


def record(checkout: Path, data: Path, output: Path, only: list[str] | None) -> int:
    """Run cases and write what they gave, after each of them; the exit code."""
    if unknown := set(only or ()) - set(CASES):
        raise SystemExit(f"--only takes {', '.join(CASES)}; received {', '.join(sorted(unknown))}")
    arrays = output.with_suffix(".arrays")
    shutil.rmtree(arrays, ignore_errors=True)
    arrays.mkdir(parents=True)
    results: Values = {"machine": describe_machine(), "seconds": {}, "cases": {}}
    with tempfile.TemporaryDirectory(prefix="golden-", ignore_cleanup_errors=True) as name:
        session = Session(checkout.resolve(), data.resolve(), Path(name).resolve(), arrays)
        try:
            for name in only or CASES:
                session.name, started = name, time.perf_counter()
                try:
                    results["cases"][name] = CASES[name](session)
                except (FailedError, OSError, LookupError, ValueError, TypeError) as error:
                    text = str(error).replace(str(session.folder), "").replace(str(session.data), "")
                    results["cases"][name] = {"failed": f"{type(error).__name__}: {text}"}
                results["seconds"][name] = round(time.perf_counter() - started, 1)
                failed = results["cases"][name].get("failed", "")
                print(f"{name:<24}{results['seconds'][name]:>8} s  {failed}", flush=True)
                output.write_text(json.dumps(results, indent=1) + "\n")
        finally:
            session.close()
    print(f"{output}: {len(results['cases'])} cases, {sum(results['seconds'].values()):.0f} s")
    return int(any("failed" in values for values in results["cases"].values()))


def describe_machine() -> Values:
    """What numbers depend on besides the code."""
    from importlib import metadata

    packages = ("keras", "tensorflow", "numpy", "albumentations", "opencv-python-headless", "scikit-learn", "optuna")
    return {"threads": len(os.sched_getaffinity(0)), **{name: metadata.version(name) for name in packages}}


def flatten(values: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested dictionaries, by their joined names; described arrays and printed numbers stay whole."""
    if isinstance(values, dict) and not {"dtype", "printed"} & set(values):
        for key, value in values.items():
            yield from flatten(value, f"{name} / {key}" if name else key)
    else:
        yield name, values


def measure(before: Any, after: Any, folders: tuple[Path, Path]) -> tuple[str, float | None]:
    """How two values differ, in words, and by how much their probabilities do; no words if they are equal."""
    if before == after:
        return "", None
    if isinstance(before, dict) and isinstance(after, dict) and "dtype" in before and "dtype" in after:
        return measure_arrays(*(np.load(f / one["file"]) for f, one in zip(folders, (before, after), strict=True)))
    if isinstance(before, dict) and isinstance(after, dict) and "printed" in before and "printed" in after:
        lacking: list[str] = list((Counter(before["printed"]) - Counter(after["printed"])).elements())
        return (f"printed no more: {' '.join(lacking)}" if lacking else ""), None
    if isinstance(before, list) and isinstance(after, list):
        return measure_lists(before, after), None
    number = isinstance(before, (int, float)) and isinstance(after, (int, float))
    apart = f", by {abs(before - after):.3g}" if number else ""
    return f"{str(before)[:60]} -> {str(after)[:60]}{apart}", None


def measure_arrays(before: np.ndarray, after: np.ndarray) -> tuple[str, float | None]:
    if before.shape != after.shape:
        return f"{before.shape} -> {after.shape}", None
    if np.array_equal(before, after, equal_nan=before.dtype.kind == "f"):
        return "", None  # of another type of number, or -0 for 0
    if before.dtype.kind != "f":
        return f"{int((before != after).sum())} of {before.size} values differ", None
    unlike = int((np.isfinite(before) != np.isfinite(after)).sum())
    apart = float(np.nanmax(np.abs(before.astype(np.float64) - after)))
    words = f"up to {apart:.3g} apart" + f", {unlike} finite in one only" * bool(unlike)
    if before.ndim == 2:
        words += f", {int((find_classes(before) != find_classes(after)).sum())} of {len(before)} rows of another class"
    return words, apart


def measure_lists(before: list[Any], after: list[Any]) -> str:
    if len(before) != len(after):
        return f"{len(before)} entries -> {len(after)}"
    unequal = [(one, other) for one, other in zip(before, after, strict=True) if one != other]
    apart, text = 0.0, 0
    for one, other in unequal:
        cells = (one, other) if isinstance(one, list) and isinstance(other, list) else ([one], [other])
        for cell, another in zip(*cells, strict=False):
            try:
                apart = max(apart, abs(float(cell) - float(another)))
            except (TypeError, ValueError):
                text += cell != another
    words = f"{len(unequal)} of {len(before)} entries differ" + f", by up to {apart:.3g}" * bool(apart)
    first = f"; the first: {str(unequal[0][0])[:150]} -> {str(unequal[0][1])[:150]}"
    return words + f", {text} of them not in number" * bool(text) + first


def compare(before: Path, after: Path) -> int:
    """Print how two files of results differ; 1 if they do."""
    results = [json.loads(path.read_text()) for path in (before, after)]
    folders = (before.with_suffix(".arrays"), after.with_suffix(".arrays"))
    for name, value in results[0]["machine"].items():
        if results[1]["machine"].get(name) != value:
            print(f"WARNING: {name}: {value} -> {results[1]['machine'].get(name)}: numbers may differ by that alone")
    differ = compared = 0
    print(f"{'case':<24}{'values':>8}{'differ':>8}{'probability':>13}  accuracy")
    for name, values in results[0]["cases"].items():
        if name not in results[1]["cases"]:
            print(f"{name:<24}{'':>8}{'not run':>8}")
            continue
        old, new = dict(flatten(values)), dict(flatten(results[1]["cases"][name]))
        lines, worst = [], 0.0
        for key, value in old.items():
            words, apart = measure(value, new[key], folders) if key in new else ("missing", None)
            worst = max(worst, apart or 0.0)
            lines += [f"    {key}: {words}"] * bool(words)
        if failures := [f"    failed: {one['failed'][:300]}" for one in (old, new) if "failed" in one]:
            lines = failures
        compared, differ = compared + 1, differ + bool(lines)
        keys = [key for key in old if key.endswith("oof_accuracy") and key in new]
        key = next((key for key in keys if old[key] != new[key]), keys[0] if keys else "")
        shown = f"{old[key]:.5f}" + f" -> {new[key]:.5f}" * (old[key] != new[key]) if key else ""
        print(f"{name:<24}{len(old):>8}{len(lines) or 'equal':>8}{f'{worst:.2g}' if worst else '':>13}  {shown}")
        print("".join(f"{line}\n" for line in lines[:SHOWN]), end="")
        if len(lines) > SHOWN:
            print(f"    and {len(lines) - SHOWN} more")
    print(f"{differ} of {compared} cases differ")
    return int(differ > 0)


def main() -> int:
    """Run or compare."""
    if sys.argv[1:] == ["--work"]:
        work()
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, nargs="?", help="folder that holds digit_recognizer/")
    parser.add_argument("--data", type=Path, help="folder of the data")
    parser.add_argument("--output", type=Path, help="file to write, .json")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="run these cases alone")
    parser.add_argument("--list", action="store_true", help="show the names of the cases")
    parser.add_argument("--compare", type=Path, nargs=2, metavar=("BEFORE", "AFTER"), help="compare two files")
    chosen = parser.parse_args()
    if chosen.list:
        print("\n".join(CASES))
        return 0
    if chosen.compare:
        return compare(*chosen.compare)
    if not (chosen.checkout and chosen.data and chosen.output):
        parser.error("name CHECKOUT, --data and --output; or --compare BEFORE AFTER")
    return record(chosen.checkout, chosen.data, chosen.output, chosen.only)


if __name__ == "__main__":
    sys.exit(main())
