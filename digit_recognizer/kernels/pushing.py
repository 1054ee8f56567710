"""Kernels to Kaggle, and how far they are, through Kaggle's client, which keeps quiet about many a failure."""

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from digit_recognizer.competition.kaggle_client import STATUS_ADVICE, UNREADABLE, ask_kaggle, load_client, quote
from digit_recognizer.errors import InputError
from digit_recognizer.files import read_json, write_json
from digit_recognizer.kernels.building import METADATA, OWNER, check_owner

POLL_SECONDS = 20
PATIENCE_ERRORS = 5  # of polls in a row
UNDER_WAY = ("QUEUED", "RUNNING", "NEW_SCRIPT")
ADVICE = {
    **STATUS_ADVICE,
    403: "the kernel must exist and be yours, but Kaggle refuses (403): push it first, or look at its id for a typing "
    "error.",
    404: "the kernel must exist, but Kaggle finds none (404): push it first, or look at its id for a typing error.",
}
INVALID = {  # a field of Kaggle's answer, and what it lists
    "invalid_competition_sources": "competition",
    "invalid_dataset_sources": "data set",
    "invalid_kernel_sources": "kernel",
    "invalid_model_sources": "model",
}


def push(folder: Path, owner: str | None = None, load: Callable[[], Any] = load_client) -> str:
    """Send a kernel to Kaggle, which runs it.

    Args:
        folder: that holds the code file and kernel-metadata.json; it is not changed.
        owner: the account's name in place of the placeholder; None takes that of the login.
        load: makes the authenticated client.

    Returns:
        One line: version and address.

    Raises:
        InputError: if the folder holds no kernel, or Kaggle does not take all of it.
    """
    metadata = read_metadata(folder)
    code = folder / metadata["code_file"]
    if not code.is_file() or code.is_symlink():
        raise InputError(f"{code} must be a plain file, but is missing or a link: build the kernel anew.")
    client = load()
    metadata = fill_owner(metadata, owner, client)
    with tempfile.TemporaryDirectory() as name:
        shutil.copyfile(code, Path(name) / code.name)
        write_json(Path(name) / METADATA, metadata)
        try:
            with ask_kaggle(ADVICE, way_out="look whether it has arrived before you push again"):
                answer = _push(client, name, folder)
        except KeyboardInterrupt as stop:
            raise type(stop)(f"look whether it has arrived, by kernel status {folder}, before you push again") from None
    if answer is None or answer.error:
        reason = quote(answer.error) if answer is not None else "no reason is given"
        raise InputError(f"{metadata['id']} must be as Kaggle takes it, but it refuses: {reason}")
    for field, kind in INVALID.items():
        if missing := getattr(answer, field, None):
            raise InputError(
                f"{metadata['id']} was pushed as version {answer.version_number}, but without the {kind} "
                f"{quote(missing[0])}, which Kaggle does not know or will not show you: correct {METADATA} and push "
                "again."
            )
    if not answer.version_number:
        raise InputError(
            f"{metadata['id']} must be a new version now, but Kaggle does not say so: look at its page, "
            f"https://www.kaggle.com/code/{metadata['id']}."
        )
    return f"{metadata['id']} is pushed as version {answer.version_number} and runs: {quote(answer.url)}"


def tell_status(
    folder: Path, owner: str | None = None, *, wait: bool = False, load: Callable[[], Any] = load_client
) -> str:
    """How far a kernel's newest version is.

    Args:
        folder: of the kernel.
        owner: the account's name in place of the placeholder; None takes that of the login.
        wait: whether to ask until it has ended.
        load: makes the authenticated client.

    Returns:
        One line.

    Raises:
        InputError: if there is none, or it has failed or been cancelled.
    """
    client = load()
    kernel = fill_owner(read_metadata(folder), owner, client)["id"]
    failed = 0
    while True:
        try:
            answer = _ask_status(client, kernel)
            failed = 0
        except InputError:
            failed += 1
            if not wait or failed == PATIENCE_ERRORS:
                raise
        else:
            state = answer.status.name
            if state == "COMPLETE":
                return f"{kernel} is complete: python -m digit_recognizer.kernel output {folder}"
            if state not in UNDER_WAY:
                reason = quote(answer.failure_message or "its log says more (kernel output fetches it)")
                raise InputError(f"{kernel} must run to its end, but is {state.lower().replace('_', ' ')}: {reason}")
            if not wait:
                return f"{kernel} is {state.lower().replace('_', ' ')}."
        time.sleep(POLL_SECONDS)


def _push(client: Any, staged: str, folder: Path) -> Any:
    try:
        return client.kernels_push(staged)
    except OSError:  # of the network, some of which are ValueErrors too
        raise
    except UNREADABLE as error:  # not quoted: of a damaged token the client says what it is
        raise InputError(
            f"{folder / METADATA} must be as Kaggle's client takes it, but is not ({type(error).__name__}): build it "
            "anew."
        ) from None


def _ask_status(client: Any, kernel: str) -> Any:
    with ask_kaggle(ADVICE):
        try:
            return client.kernels_status(kernel)
        except ValueError as error:  # so the client says 401 and 403
            if "denied" in str(error):
                raise InputError(ADVICE[403]) from None
            raise


def read_metadata(folder: Path) -> dict[str, Any]:
    """The metadata of a kernel.

    Raises:
        InputError: if the folder holds none.
    """
    if not (folder / METADATA).is_file():
        raise InputError(
            f"{folder} must hold a kernel, with a {METADATA}: name one of kernels/, or build it by python -m "
            "digit_recognizer.kernel build MODEL."
        )
    metadata = read_json(folder / METADATA)
    wanted = isinstance(metadata, dict) and all(isinstance(metadata.get(key), str) for key in ("id", "code_file"))
    code = Path(metadata["code_file"]).name if wanted else METADATA
    if code in ("", METADATA) or code != metadata["code_file"] or metadata["id"].count("/") != 1:
        raise InputError(f"{folder / METADATA} must tell id and code_file of a kernel, but does not: build it anew.")
    return dict(metadata)


def fill_owner(metadata: dict[str, Any], owner: str | None, client: Any) -> dict[str, Any]:
    """Metadata with the account's name wherever the placeholder stands: `owner`, or that of the login.

    Raises:
        InputError: if neither is known.
    """
    name = owner or client.get_config_value("username") or ""
    if owner:
        check_owner(owner)
    if f"{OWNER}/" not in json.dumps(metadata):
        return metadata
    if not name:
        raise InputError("the kernel's owner must be known, but the login does not tell its name: pass --owner NAME.")
    filled: dict[str, Any] = json.loads(json.dumps(metadata).replace(f'"{OWNER}/', f'"{name}/'))
    return filled
