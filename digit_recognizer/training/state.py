"""Exact state: all that a run needs in order to go on as if it had never been stopped, in one checked file.

`state.safetensors` holds the arrays, and in its header the rest as JSON with a SHA-256 over every byte of the file.
The generation before it is kept as `state-previous.safetensors`. Nothing here can run code: safetensors holds numbers
only (https://github.com/huggingface/safetensors), which is why it was taken and not pickle.

What is not in it follows from the configuration and is made anew: folds, frozen backbones and their features, the
schedule (from the optimizer's iteration), the order of the rows and their augmentation (from seed and epoch).
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from digit_recognizer.files import write_atomically

STATE, PREVIOUS = "state.safetensors", "state-previous.safetensors"
UNSIGNED = "0" * 64
SIGNATURE = re.compile(rb'"sha256":"([0-9a-f]{64})"')
HIGHEST_HEADER_BYTES = 100_000_000  # the format's own limit


@dataclass
class FitState:
    """The fit of one fold after an epoch.

    Attributes:
        phase: 0 for the fit, 1 for the fine-tuning of a backbone after it.
        epoch: finished epochs of the fold, both phases together.
        stopped: whether early stopping has ended the phase.
        counters: by callback, what it counts (patience used, best loss, …).
        model: the variables that fitting changes: weights, normalisation statistics, states of seed generators.
        optimizer: its variables: iteration, moments, moving averages, learning rate where that is one.
        best_weights: those that early stopping would go back to; empty if there are none.
    """

    phase: int
    epoch: int
    stopped: bool
    counters: dict[str, dict[str, Any]]
    model: list[np.ndarray]
    optimizer: list[np.ndarray]
    best_weights: list[np.ndarray]


@dataclass
class RunState:
    """A run between two epochs.

    Attributes:
        run: whose it is, as environment.json has it.
        oof: float32 (n, classes); NaN in rows that no net has predicted so far.
        test: float32 (m, classes): sum over the folds done, each divided by the number of folds.
        folds_done: how many.
        history: one entry per finished epoch, as in history.csv.
        elapsed_seconds, training_seconds: used so far, over all sittings.
        submission: the file that this run has decided to write; None before that.
        untrained_accuracy: of the net of `train` on its held-out rows, before the first step.
        fit: of the fold under way; None between folds.
    """

    run: str
    oof: np.ndarray
    test: np.ndarray
    folds_done: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    elapsed_seconds: float = 0.0
    training_seconds: float = 0.0
    submission: str | None = None
    untrained_accuracy: float | None = None
    fit: FitState | None = None


SaveFit = Callable[[FitState], None]
"""Told of the state after each epoch."""

LISTS = ("model", "optimizer", "best_weights")


def save_state(folder: Path, state: RunState) -> None:
    """Write a run's state; the one written before it becomes the previous generation.

    Raises:
        WriteError: if there is no room, say; both generations stay as they were.
    """
    with write_atomically(folder / STATE, previous=folder / PREVIOUS) as temporary:
        temporary.write_bytes(pack_state(state))


def load_state(folder: Path, run: str) -> tuple[RunState | None, list[str]]:
    """Read a run's state, or the generation before it where the newest is damaged or another run's.

    What is of no use is removed once it has been told, lest it become the previous generation of the next state.

    Args:
        folder: of the run.
        run: whose state it must be.

    Returns:
        The newest whole state, None if there is none; and a sentence on each file that is not used.
    """
    complaints: list[str] = []
    for name in (STATE, PREVIOUS):
        path = folder / name
        if not os.path.lexists(path):
            continue
        try:
            if not path.is_file():
                raise ValueError("it is no plain file")
            state = unpack_state(path.read_bytes())
            if state.run != run:
                raise ValueError("it is of another run")
            return state, complaints
        except (ValueError, OSError) as error:
            complaints.append(f"{path} is damaged ({error}), so it is not used")
            with contextlib.suppress(OSError):  # a folder stays, and the next save tells of it
                path.unlink()
    return None, complaints


def remove_state(folder: Path) -> None:
    """Remove both generations: what a finished run found is in its other files."""
    for name in (STATE, PREVIOUS):
        (folder / name).unlink(missing_ok=True)


def pack_state(state: RunState) -> bytes:
    """A state as the bytes of a safetensors file that carries its own SHA-256."""
    from safetensors.numpy import save

    described = dict(vars(state))
    arrays = {"oof": described.pop("oof"), "test": described.pop("test")}
    if state.fit is not None:
        described["fit"] = dict(vars(state.fit))
        for name in LISTS:
            listed: list[np.ndarray] = described["fit"][name]
            described["fit"][name] = len(listed)
            arrays |= {f"{name}.{number}": array for number, array in enumerate(listed)}
    contiguous = {name: np.array(array, order="C") for name, array in arrays.items()}  # it would save views wrongly
    unsigned = save(contiguous, {"state": json.dumps(described), "sha256": UNSIGNED})
    at = _find_signature(unsigned)
    return unsigned[:at] + hashlib.sha256(unsigned).hexdigest().encode() + unsigned[at + len(UNSIGNED) :]


def unpack_state(content: bytes) -> RunState:
    """The state in the bytes of a file.

    Raises:
        ValueError: if a byte of it is not as it was written.
    """
    from safetensors.numpy import load

    at = _find_signature(content)
    signature = content[at : at + len(UNSIGNED)].decode()
    if hashlib.sha256(content[:at] + UNSIGNED.encode() + content[at + len(UNSIGNED) :]).hexdigest() != signature:
        raise ValueError("its SHA-256 is another than that it carries")
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    described, arrays = json.loads(header["__metadata__"]["state"]), load(content)
    fit = described.pop("fit")
    if fit is not None:
        lists: dict[str, Any] = {
            name: [arrays[f"{name}.{number}"] for number in range(fit.pop(name))] for name in LISTS
        }
        fit = FitState(**fit, **lists)
    return RunState(oof=arrays["oof"], test=arrays["test"], fit=fit, **described)


def _find_signature(content: bytes) -> int:
    """Where the hash stands in the header."""
    header_bytes = int.from_bytes(content[:8], "little")
    found = SIGNATURE.search(content[: 8 + min(header_bytes, HIGHEST_HEADER_BYTES)])
    if found is None:
        raise ValueError("it carries no SHA-256")
    return found.start(1)
