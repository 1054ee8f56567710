"""The record of a run's beginning: the fingerprint of all that its numbers depend on, compared when it is resumed."""

import hashlib
import os
import platform
import secrets
import typing
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from digit_recognizer import __version__
from digit_recognizer.backend import SWITCHES
from digit_recognizer.competition.submissions import find_commit
from digit_recognizer.config import RunConfig, flag
from digit_recognizer.data.dataset import Dataset
from digit_recognizer.errors import InputError, UnusableRunError, reading_its_own_files
from digit_recognizer.io import hash_file, load_npy, read_json, write_json
from digit_recognizer.training.executors import Executor, count_threads, do_task
from digit_recognizer.training.hardware import POLICIES, check_devices, choose_precision
from digit_recognizer.training.run import Run, load_run_config

# The one door for chance: every seed of a run derives from `RunConfig.seed` here.

Purpose = Literal["folds", "fit", "validation", "cached augmentations", "augmented copies", "synthetic"]
PURPOSES = typing.get_args(Purpose)  # a seed follows from the place in this list, so add new ones at its end


def derive_seed(seed: int, purpose: Purpose, fold: int = 0) -> int:
    """A seed for one purpose in one fold, independent of those for all others.

    Args:
        seed: of the run.
        purpose: what the seed is for.
        fold: 0 and up.

    Returns:
        0 to 2**32 - 1.
    """
    return int(np.random.SeedSequence([seed, PURPOSES.index(purpose), fold]).generate_state(1)[0])


# What else a run's numbers depend on besides its configuration: data, code, versions, threads, precision, processor.
#
# Thread count is part of it because sums are split by threads and rounded in another order (seen with TensorFlow even
# under its own switch for determinism).

RECORDED_PACKAGES = (
    *("keras", "tensorflow", "jax", "jaxlib", "numpy", "scikit-learn"),
    *("albumentations", "opencv-python-headless", "h5py"),
)
PATH_FIELDS = ("input_dir", "run_dir", "submission", "tensorboard")  # where things lie, or are shown, changes no number
TOLERATED = ("processor",)  # between the machines of one run
SHOWN_DIFFERENCES = 3


def take_fingerprint(
    config: RunConfig, dataset: Dataset, precision: str, machine: dict[str, Any] | None = None
) -> dict[str, Any]:
    """All that must be equal for a resumed run to end byte for byte as if it had not been stopped.

    Args:
        config: of the run.
        dataset: as loaded; its hashes count, and the rows in use follow from them and the configuration.
        precision: as settled, not "auto".
        machine: where nets are fitted, as `describe_machine` has it; None stands for this process.
    """
    settings = {name: value for name, value in config.to_json().items() if name not in PATH_FIELDS}
    return {
        **{flag(name): value for name, value in settings.items()},
        "train.csv": dataset.train_sha256,
        "test.csv": dataset.test_sha256,
        **(machine or describe_machine(None, config.replace(precision=precision))),
    }


def describe_machine(_: None, config: RunConfig) -> dict[str, Any]:
    """The part of a fingerprint that belongs to the process that fits nets; a task that any machine can do.

    Args:
        config: of the run; "auto" is settled here, by timing.

    Raises:
        InputError: if the run asks for more devices than there are.
    """
    check_devices(config)
    return {
        "weights file": hash_file(Path(config.weights)) if Path(config.weights).is_file() else None,
        "digit_recognizer's code": _hash_package(),
        "python": platform.python_version(),
        **_find_versions(),
        "threads": count_threads(),
        **{name: os.environ.get(name) for name in SWITCHES},
        "backend": keras.config.backend(),
        "precision": choose_precision(config.precision),
        "processor": name_processor(),
        "devices": keras.distribution.list_devices(),
    }


def compare_machines(fingerprint: dict[str, Any], config: RunConfig) -> list[str]:
    """What differs here from the machine that a run's fingerprint was taken on, as far as it can be tolerated.

    Another processor may round otherwise; in a cluster of several kinds that is to be told, and no reason to stop.

    Raises:
        InputError: for a difference in anything else.
    """
    here = describe_machine(None, config.replace(precision=fingerprint["precision"]))
    then = {name: fingerprint.get(name) for name in here}
    tolerated = {name for name in TOLERATED if then[name] != here[name]}
    differences = compare_fingerprints(then, here | {name: then[name] for name in tolerated})
    if differences:
        raise InputError(
            f"{platform.node()} fits nets otherwise than this run's other machines: {join_differences(differences)}: "
            "make it equal, or take it out of the cluster."
        )
    return [
        f"{phrase} on {platform.node()}"
        for phrase in compare_fingerprints(
            {name: then[name] for name in tolerated}, {name: here[name] for name in tolerated}
        )
    ]


def compare_fingerprints(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs, one phrase each: `threads: 4 then, 2 now`."""
    differing = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    return [f"{name}: {_shorten(then.get(name))} then, {_shorten(now.get(name))} now" for name in differing]


def join_differences(differences: list[str]) -> str:
    """Differences as one clause of a message."""
    more = len(differences) - SHOWN_DIFFERENCES
    return "; ".join(differences[:SHOWN_DIFFERENCES]) + (f"; and {more} more" if more > 0 else "")


def _find_versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {}
    for name in RECORDED_PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def _hash_package() -> str:
    """The SHA-256 of this package's own code, wherever it is installed."""
    package = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        digest.update(f"{file.relative_to(package).as_posix()} {hash_file(file)}\n".encode())
    return digest.hexdigest()


def name_processor() -> str:
    """The processor's name, where the system tells it: kernels are chosen by it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _shorten(value: Any) -> str:
    text = str(value)
    return text[:12] + "…" if len(text) == 64 else text[:60]


ENVIRONMENT = "environment.json"
ESSENTIAL = ("train.csv", "test.csv", "--model", "--limit-train", "--limit-test")  # other rows, other shapes


def settle_environment(
    run: Run,
    config: RunConfig,
    dataset: Dataset,
    fold_of_row: np.ndarray,
    allow_inexact: bool,
    executor: Executor,
) -> dict[str, Any]:
    """Settle the precision and record the circumstances of a run, or compare them with those recorded at its start.

    Args:
        run: its folder; environment.json and folds.npy are written there.
        config: of the run.
        dataset: of the run.
        fold_of_row: int16 (n,), the fold in which each row is held out, -1 for never.
        allow_inexact: whether differences are recorded and accepted instead of refused.
        executor: of the run; the circumstances are those of the process that it fits nets in.

    Returns:
        The content of environment.json: run, digit_recognizer, commit, platform, fingerprint, resumed_with_differences.

    Raises:
        UnusableRunError: for a difference that is not accepted, or would have rows judged by nets that saw them; and if
            what was recorded is damaged.
        InputError: if the run asks for more devices than there are.
    """
    path = run.path / ENVIRONMENT
    with reading_its_own_files():
        recorded = _read_environment(path) if path.exists() else None
    if recorded is None:
        machine = do_task(executor, describe_machine, config)
        fingerprint = take_fingerprint(config, dataset, machine["precision"], machine)
        inexact: list[str] = []
    else:
        then = recorded["fingerprint"]
        precision = then["precision"] if config.precision == "auto" else config.precision
        machine = do_task(executor, describe_machine, config.replace(precision=precision))
        fingerprint = take_fingerprint(config, dataset, precision, machine)
        differences = compare_fingerprints(then, fingerprint)
        essential = [name for name in ESSENTIAL if then.get(name) != fingerprint[name]]
        if differences and (essential or not allow_inexact):
            advice = (
                "the run cannot go on like this; restore that, or begin a new one."
                if essential
                else "restore that, or accept a result that is not exactly the same by --allow-inexact."
            )
            raise UnusableRunError(f"{run.path} was begun otherwise: {join_differences(differences)}: {advice}")
        inexact = [*recorded["resumed_with_differences"], *differences]
        with reading_its_own_files():
            _check_folds(run.path / "folds.npy", fold_of_row)
    # A state of other folds is of another run, whoever put it there; so is one without the record of its beginning.
    name = secrets.token_hex(16) if recorded is None else recorded["run"].split("-")[0]
    environment = {
        "run": f"{name}-{hashlib.sha256(fold_of_row.tobytes()).hexdigest()}",
        "digit_recognizer": __version__,
        "commit": find_commit() if recorded is None else recorded["commit"],
        "platform": platform.platform(),
        "fingerprint": fingerprint,
        "resumed_with_differences": inexact,
    }
    run.write_array("folds", fold_of_row)
    write_json(path, environment)
    return environment


def load_fingerprint(path: Path) -> dict[str, Any]:
    """The fingerprint that a run was begun with.

    Args:
        path: its folder.

    Raises:
        InputError: if it is not there, or damaged.
    """
    return dict(_read_environment(path / ENVIRONMENT)["fingerprint"])


def check_finished(path: Path, subcommand: str, dataset: Dataset) -> None:
    """Refuse a finished run that was made with other data, code or versions than those at hand.

    The processor may be another: a machine of a cluster's, say.

    Args:
        path: its folder.
        subcommand: the command that filled it, cv or train.
        dataset: at hand.

    Raises:
        UnusableRunError: naming what differs, or the file that does not tell.
        InputError: if the run asks for more devices than there are.
    """
    with reading_its_own_files():
        config, _ = load_run_config(path, subcommand)
        then = load_fingerprint(path)
    now = take_fingerprint(config, dataset, then["precision"])
    if differences := compare_fingerprints({**then, **{name: now[name] for name in TOLERATED}}, now):
        told = f"{path} was made otherwise: {join_differences(differences)}"
        raise UnusableRunError(f"{told}: restore that, or run it anew.")


def record_differences(run: Run, environment: dict[str, Any], differences: list[str]) -> None:
    """Add what differed while the run was under way, lest its numbers be taken for exactly repeatable.

    Args:
        run: its folder.
        environment: as `settle_environment` gave it; changed in place.
        differences: one phrase each.
    """
    if differences:
        environment["resumed_with_differences"] += differences
        write_json(run.path / ENVIRONMENT, environment)


def _read_environment(path: Path) -> dict[str, Any]:
    content = read_json(path)
    kinds: dict[str, Any] = {
        "run": str,
        "fingerprint": dict,
        "resumed_with_differences": list,
        "commit": (str, type(None)),
    }
    if not isinstance(content, dict) or not all(isinstance(content.get(name, 0), kinds[name]) for name in kinds):
        raise InputError(f"{path} must tell how the run was begun, but does not: restore it, or begin a new run.")
    if content["fingerprint"].get("precision") not in list(POLICIES):
        raise InputError(f"{path} must name a precision, but does not: restore it, or begin a new run.")
    return content


def _check_folds(path: Path, fold_of_row: np.ndarray) -> None:
    if path.exists() and not np.array_equal(load_npy(path), fold_of_row):
        raise InputError(
            f"{path} assigns rows to other folds than this version does, so that rows would be judged by nets that "
            "saw them: begin a new run."
        )
