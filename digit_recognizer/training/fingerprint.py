"""What else a run's numbers depend on besides its configuration: data, code, versions, threads, precision, processor.

Thread count is part of it because sums are split by threads and rounded in another order (seen with TensorFlow even
under its own switch for determinism).
"""

import hashlib
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import keras

from digit_recognizer.backend import SWITCHES
from digit_recognizer.config import RunConfig, flag
from digit_recognizer.errors import InputError
from digit_recognizer.files import hash_file
from digit_recognizer.training.cores import count_threads
from digit_recognizer.training.dataset import Dataset
from digit_recognizer.training.devices import check_devices
from digit_recognizer.training.precision import choose_precision

RECORDED_PACKAGES = (
    *("keras", "tensorflow", "jax", "jaxlib", "numpy", "scikit-learn"),
    *("albumentations", "opencv-python-headless", "h5py"),
)
PLACES = ("input_dir", "run_dir", "submission", "tensorboard")  # where things lie, or are shown, changes no number
BORNE = ("processor",)  # between the machines of one run
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
    settings = {name: value for name, value in config.to_json().items() if name not in PLACES}
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
    """What differs here from the machine that a run's fingerprint was taken on, as far as it can be borne.

    Another processor may round otherwise; in a cluster of several kinds that is to be told, and no reason to stop.

    Raises:
        InputError: for a difference in anything else.
    """
    here = describe_machine(None, config.replace(precision=fingerprint["precision"]))
    then = {name: fingerprint.get(name) for name in here}
    borne = {name for name in BORNE if then[name] != here[name]}
    differences = compare_fingerprints(then, here | {name: then[name] for name in borne})
    if differences:
        raise InputError(
            f"{platform.node()} fits nets otherwise than this run's other machines: {join_differences(differences)}: "
            "make it equal, or take it out of the cluster."
        )
    return [
        f"{phrase} on {platform.node()}"
        for phrase in compare_fingerprints({name: then[name] for name in borne}, {name: here[name] for name in borne})
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
