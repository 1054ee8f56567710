"""What makes a run repeatable: its seeds, and the fingerprint of all that its numbers depend on.

A run resumed under an equal fingerprint ends byte for byte as if it had never been stopped. Any difference is named
and refused, unless the user accepts it by `--allow-inexact`; then it is recorded for good.
"""

import ast
import contextlib
import functools
import hashlib
import platform
import secrets
import typing
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from digit_recognizer import __version__
from digit_recognizer.backend import list_switches
from digit_recognizer.competition.submissions import find_commit
from digit_recognizer.config import RunConfig, flag, is_user_model
from digit_recognizer.data.dataset import Dataset
from digit_recognizer.errors import InputError, UnusableRunError, reraise_as_unusable_run
from digit_recognizer.io import hash_file, load_npy, write_json
from digit_recognizer.models import describe_source
from digit_recognizer.records import Environment, read_record
from digit_recognizer.training.executors import Executor, count_threads, run_task
from digit_recognizer.training.hardware import check_devices, choose_precision, name_processor
from digit_recognizer.training.run import ENVIRONMENT, Run, load_run_config

PACKAGE = Path(__file__).resolve().parents[1]

Purpose = Literal["folds", "fit", "validation", "cached augmentations", "augmented copies", "synthetic"]
PURPOSES = typing.get_args(Purpose)  # a seed depends on the place in this list: add new ones at its end

PACKAGES = (
    *("keras", "tensorflow", "jax", "jaxlib", "numpy", "scipy", "scikit-learn"),
    *("albumentations", "opencv-python-headless", "h5py"),
)
# files of this package whose code decides a run's numbers; the model's own file is added
CODE = ("config.py", "data/*.py", "evaluation/calibration.py", "models/__init__.py", "models/_*.py", "training/*.py")
OTHER_CODE = {
    "data/sources.py",  # downloads; what it has written counts by its hash
    *("training/callbacks.py", "training/executors.py", "training/ray_executor.py"),
    "training/process_executor.py",
    *("training/run.py", "training/tracking.py", "training/transfers.py"),
    "models/__main__.py",  # lists models
}
PATH_FIELDS = ("input_dir", "run_dir", "submission", "tensorboard")  # where files are changes no number
TOLERATED = ("processor",)  # between the machines of one run
MAY_DIFFER_WHEN_READ = (*TOLERATED, "threads")  # a finished run was trained by other processes than this one
ESSENTIAL = ("train.csv", "test.csv", "--model", "--limit-train", "--limit-test")  # other rows, other shapes
SHOWN_DIFFERENCES = 3


def derive_seed(seed: int, purpose: Purpose, fold: int = 0) -> int:
    """Derive a seed for one purpose in one fold, independent of all others. Nothing else in a run draws seeds.

    Args:
        seed: of the run.
        purpose: what the seed is for.
        fold: 0 and up.

    Returns:
        0 to 2**32 - 1.

    Example:
        >>> derive_seed(0, "fit", fold=1) != derive_seed(0, "fit", fold=2)
        True
    """
    return int(np.random.SeedSequence([seed, PURPOSES.index(purpose), fold]).generate_state(1)[0])


# The fingerprint


def take_fingerprint(config: RunConfig, dataset: Dataset, machine: dict[str, Any] | None = None) -> dict[str, Any]:
    """All that must be equal for a resumed run to end as if it had not been stopped.

    Args:
        config: of the run.
        dataset: as loaded; its hashes count, and the rows in use follow from them and the configuration.
        machine: where models are trained, from `describe_machine`; None stands for this process.
    """
    settings = {flag(name): value for name, value in config.to_json().items() if name not in PATH_FIELDS}
    settings["--model"] = config.model_name  # where its file lies changes no number
    hashes = {"train.csv": dataset.train_sha256, "test.csv": dataset.test_sha256}
    mended = {"mended": list(dataset.mended)} if dataset.mended else {}
    return {**settings, **hashes, **mended, **(machine or describe_machine(None, config))}


def describe_machine(_: None, config: RunConfig) -> dict[str, Any]:
    """The part of a fingerprint that belongs to the process that trains models; a task for any machine.

    The number of threads counts because sums are split among threads and rounded in another order; this was seen with
    TensorFlow even under its own switch for determinism.

    Args:
        config: of the run; its precision "auto" is resolved here.

    Raises:
        InputError: if the run asks for more devices than there are.
    """
    check_devices(config)
    return {
        "weights file": hash_file(Path(config.weights)) if Path(config.weights).is_file() else None,
        "code": (hash_source if is_user_model(config.model) else hash_code)(config.model),
        "python": platform.python_version(),
        **{name: _find_version(name) for name in PACKAGES},
        "threads": count_threads(),
        **list_switches(),
        "backend": keras.config.backend(),
        "precision": choose_precision(config.precision),
        "processor": name_processor(),
        "devices": keras.distribution.list_devices(),
    }


def compare_machines(fingerprint: dict[str, Any], config: RunConfig) -> list[str]:
    """Compare this machine with the one that a run's fingerprint was taken on.

    Another processor may round differently: in a mixed cluster that is tolerated, but reported.

    Returns:
        The tolerated differences, one phrase each.

    Raises:
        InputError: for any other difference.
    """
    now = describe_machine(None, config.replace(precision=fingerprint["precision"]))
    then = {name: fingerprint.get(name) for name in now}
    if differences := compare_fingerprints(then, now, ignored=TOLERATED):
        raise InputError("machines.different", received=platform.node(), differences=join_differences(differences))
    return [f"{difference} on {platform.node()}" for difference in compare_fingerprints(then, now)]


def compare_fingerprints(then: dict[str, Any], now: dict[str, Any], ignored: Sequence[str] = ()) -> list[str]:
    """The differences, one phrase each: `threads: 4 then, 2 now`."""
    differing = [name for name in {**then, **now} if then.get(name) != now.get(name) and name not in ignored]
    return [f"{name}: {then.get(name)!s:.40} then, {now.get(name)!s:.40} now" for name in differing]


def join_differences(differences: list[str]) -> str:
    """The first differences, as part of a message."""
    more = len(differences) - SHOWN_DIFFERENCES
    return "; ".join(differences[:SHOWN_DIFFERENCES]) + (f"; and {more} more" if more > 0 else "")


def hash_source(model: str) -> str:
    """The SHA-256 of a user's model and of the package's code; comments and docstrings do not count."""
    source = describe_source(model)
    with contextlib.suppress(SyntaxError):  # a lambda within a call is no whole statement: its text counts
        source = _dump_code(source)
    return hashlib.sha256(f"{hash_code('')} {source}".encode()).hexdigest()


def compare_settings(then: RunConfig, now: RunConfig, ignored: Sequence[str] = ()) -> list[str]:
    """The flags in which two configurations differ; where files are does not count.

    Args:
        then: of a run.
        now: of a call that is to resume it.
        ignored: further fields that do not count.
    """
    old, new = then.to_json(), now.to_json()
    if is_user_model(then.model) and is_user_model(now.model):
        old["model"], new["model"] = ((one.model_name, hash_source(one.model)) for one in (then, now))
    skipped = (*PATH_FIELDS, *ignored)
    return [flag(name) for name in old if name not in skipped and old[name] != new[name]]


@functools.cache
def hash_code(model: str, package: Path = PACKAGE) -> str:
    """The SHA-256 of the code of this package that decides a model's numbers; comments and docstrings do not count.

    Args:
        model: its name; other models' files do not count.
        package: the folder of this package.
    """
    files = {file for pattern in (*CODE, f"models/{model}.py") for file in package.glob(pattern)}
    digest = hashlib.sha256()
    for name in sorted({file.relative_to(package).as_posix() for file in files} - OTHER_CODE):
        digest.update(f"{name} {_dump_code((package / name).read_text(encoding='utf-8'))}\n".encode())
    return digest.hexdigest()


def _dump_code(source: str) -> str:
    """The syntax tree of a module as text, without comments, docstrings and line numbers."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            body[:] = [part for part in body if not _is_docstring(part)]
    return ast.dump(tree)


def _find_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


# The record of a run's environment


def record_environment(
    run: Run, config: RunConfig, dataset: Dataset, fold_of_row: np.ndarray, allow_inexact: bool, executor: Executor
) -> dict[str, Any]:
    """Record the environment of a new run, or compare it with the one that the run was started in.

    Args:
        run: its folder; environment.json and folds.npy are written there.
        config: of the run; the precision "auto" is resolved when the run starts, and kept.
        dataset: of the run.
        fold_of_row: int16 (n,), the fold in which each row is held out, -1 for never.
        allow_inexact: whether differences are recorded and accepted instead of refused.
        executor: of the run; the environment is that of the process that trains its models.

    Returns:
        The content of environment.json: run, digit_recognizer, commit, platform, fingerprint, executor (its flags),
        resumed_with_differences.

    Raises:
        UnusableRunError: for a difference that is not accepted, or that would have models evaluated on rows that they
            have seen; and if the record is damaged.
        InputError: if the run asks for more devices than there are.
    """
    path = run.path / ENVIRONMENT
    with reraise_as_unusable_run():
        recorded = load_environment(run.path) if path.exists() else None
    precision = config.precision
    if recorded is not None and precision == "auto":
        precision = recorded["fingerprint"]["precision"]
    machine = run_task(executor, describe_machine, config.replace(precision=precision))
    fingerprint = take_fingerprint(config, dataset, machine)
    flags = list(executor.flags)
    if "--ray-address" in flags:  # a folder may come from elsewhere, and must not name a cluster here
        place = flags.index("--ray-address")
        del flags[place : place + 2]
    inexact: list[str] = []
    if recorded is not None:
        then = recorded["fingerprint"]
        if differences := compare_fingerprints(then, fingerprint):
            other_data = any(then.get(name) != fingerprint[name] for name in ESSENTIAL)
            if other_data or not allow_inexact:
                if (used := recorded.get("executor", flags)) != flags:
                    differences.insert(0, f"{' '.join(used) or 'no --executor'} then")
                code = "run.other_data" if other_data else "run.other_environment"
                raise UnusableRunError(code, path=run.path, differences=join_differences(differences))
        inexact = [*recorded["resumed_with_differences"], *differences]
        folds = run.path / "folds.npy"
        with reraise_as_unusable_run():
            if folds.exists() and not np.array_equal(load_npy(folds), fold_of_row):
                raise InputError("run.other_folds", path=folds)
    # a checkpoint of other folds is another run's, whoever put it there; so is one without the record of its start
    name = secrets.token_hex(16) if recorded is None else recorded["run"].split("-")[0]
    environment = {
        "run": f"{name}-{hashlib.sha256(fold_of_row.tobytes()).hexdigest()}",
        "digit_recognizer": __version__,
        "commit": find_commit() if recorded is None else recorded["commit"],
        "platform": platform.platform(),
        "fingerprint": fingerprint,
        "executor": flags,
        "resumed_with_differences": inexact,
    }
    run.write_array("folds", fold_of_row)
    run.write_array("labels", dataset.labels.astype(np.int8))
    write_json(path, environment)
    return environment


def check_finished(path: Path, subcommand: str, dataset: Dataset) -> None:
    """Refuse a finished run that was made with other data, code or versions than those at hand.

    The processor and the threads may be others: those of a machine of a cluster, say.

    Args:
        path: its folder.
        subcommand: the command that filled it, cv or train.
        dataset: at hand.

    Raises:
        UnusableRunError: naming what differs, or the damaged file.
        InputError: if the run asks for more devices than there are.
    """
    with reraise_as_unusable_run():
        config, _ = load_run_config(path, subcommand)
        then = load_environment(path)["fingerprint"]
    machine = describe_machine(None, config.replace(precision=then["precision"]))
    now = take_fingerprint(config, dataset, machine)
    if differences := compare_fingerprints(then, now, ignored=MAY_DIFFER_WHEN_READ):
        raise UnusableRunError("run.finished_otherwise", path=path, differences=join_differences(differences))


def record_differences(run: Run, environment: dict[str, Any], fold: int, differences: list[str]) -> None:
    """Log and record how the machine that trained a fold differs from the first: its numbers may not be repeatable.

    Args:
        run: its folder.
        environment: as `record_environment` returned it; changed in place.
        fold: that was trained there.
        differences: one phrase each.
    """
    for difference in differences:
        environment["resumed_with_differences"].append(f"fold {fold}: {difference}")
        run.log(f"WARNING: not exactly as on the run's first machine: fold {fold}: {difference}")
    if differences:
        write_json(run.path / ENVIRONMENT, environment)


def load_environment(folder: Path) -> dict[str, Any]:
    """The environment that a run was started in, by its folder; see `record_environment`.

    Raises:
        InputError: if the record is missing or damaged.
    """
    return read_record(folder / ENVIRONMENT, Environment)
