"""The record of a run's beginning: the fingerprint of all that its numbers depend on, compared when it is resumed."""

import hashlib
import platform
import secrets
from pathlib import Path
from typing import Any

import numpy as np

from digit_recognizer import __version__
from digit_recognizer.competition.provenance import find_commit
from digit_recognizer.config import RunConfig
from digit_recognizer.data.array_files import load_npy
from digit_recognizer.errors import InputError, UnusableRunError, reading_its_own_files
from digit_recognizer.files import read_json, write_json
from digit_recognizer.training.dataset import Dataset
from digit_recognizer.training.executors import Executor, do_task
from digit_recognizer.training.fingerprint import (
    BORNE,
    compare_fingerprints,
    describe_machine,
    join_differences,
    take_fingerprint,
)
from digit_recognizer.training.precision import POLICIES
from digit_recognizer.training.runs import RunFolder, load_run_config

ENVIRONMENT = "environment.json"
ESSENTIAL = ("train.csv", "test.csv", "--model", "--train-rows", "--test-rows")  # other rows, other shapes


def settle_environment(
    run: RunFolder,
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
            raise UnusableRunError(f"{run.path} was begun otherwise: {join_differences(differences)}", f": {advice}")
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


def check_finished(path: Path, verb: str, dataset: Dataset) -> None:
    """Refuse a finished run that was made with other data, code or versions than those at hand.

    The processor may be another: a machine of a cluster's, say.

    Args:
        path: its folder.
        verb: the command that filled it, cv or train.
        dataset: at hand.

    Raises:
        UnusableRunError: naming what differs, or the file that does not tell.
        InputError: if the run asks for more devices than there are.
    """
    with reading_its_own_files():
        config, _ = load_run_config(path, verb)
        then = load_fingerprint(path)
    now = take_fingerprint(config, dataset, then["precision"])
    if differences := compare_fingerprints({**then, **{name: now[name] for name in BORNE}}, now):
        told = f"{path} was made otherwise: {join_differences(differences)}"
        raise UnusableRunError(told, ": restore that, or run it anew.")


def record_differences(run: RunFolder, environment: dict[str, Any], differences: list[str]) -> None:
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
