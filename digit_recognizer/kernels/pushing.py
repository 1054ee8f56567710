"""Kernels to Kaggle and their output back, through Kaggle's client, which keeps quiet about many a failure."""

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from digit_recognizer.competition.kaggle_client import STATUS_ADVICE, ask_kaggle, load_client
from digit_recognizer.errors import InputError
from digit_recognizer.files import check_writable_folder, open_staging_folder, read_json, write_json
from digit_recognizer.kernels.building import METADATA, OWNER

POLL_SECONDS = 20
PATIENCE_ERRORS = 5  # of polls in a row
CHUNK_BYTES = 1 << 20
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
    metadata = _read_metadata(folder)
    code = folder / metadata["code_file"]
    if not code.is_file():
        raise InputError(f"{code} is missing: build the kernel anew.")
    client = load()
    metadata = _fill_owner(metadata, owner, client)
    with tempfile.TemporaryDirectory() as name:
        shutil.copyfile(code, Path(name) / code.name)
        write_json(Path(name) / METADATA, metadata)
        try:
            with ask_kaggle(ADVICE, way_out="look whether it has arrived before you push again"):
                answer = client.kernels_push(name)
        except KeyboardInterrupt as stop:
            raise type(stop)(f"look whether it has arrived, by kernel status {folder}, before you push again") from None
        except ValueError as error:
            raise error if isinstance(error, InputError) else _explain(error, folder) from None
    if answer is None or answer.error:
        reason = _shorten(answer.error) if answer is not None else "no reason is given"
        raise InputError(f"{metadata['id']} must be as Kaggle takes it, but it refuses: {reason}")
    for field, kind in INVALID.items():
        if missing := getattr(answer, field, None):
            raise InputError(
                f"{metadata['id']} was pushed as version {answer.version_number}, but without the {kind} "
                f"{_shorten(missing[0])}, which Kaggle does not know or will not show you: correct {METADATA} and push "
                "again."
            )
    return f"{metadata['id']} is pushed as version {answer.version_number} and runs: {_shorten(answer.url)}"


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
    kernel = _fill_owner(_read_metadata(folder), owner, client)["id"]
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
                reason = _shorten(answer.failure_message or "its log says more (kernel output fetches it)")
                raise InputError(f"{kernel} must run to its end, but is {state.lower().replace('_', ' ')}: {reason}")
            if not wait:
                return f"{kernel} is {state.lower().replace('_', ' ')}."
        time.sleep(POLL_SECONDS)


def fetch_output(folder: Path, target: Path, owner: str | None = None, load: Callable[[], Any] = load_client) -> str:
    """Fetch what a kernel's newest version has left, and its log.

    Args:
        folder: of the kernel.
        target: a new folder; it is there with all files or not at all.
        owner: the account's name in place of the placeholder; None takes that of the login.
        load: makes the authenticated client.

    Returns:
        One line.

    Raises:
        InputError: if there is nothing, a file cannot be fetched, or `target` exists.
    """
    metadata = _read_metadata(folder)
    if target.exists():
        raise InputError(f"--output-dir takes a new folder, but {target} exists: name another.")
    check_writable_folder(target.parent)
    client = load()
    kernel = _fill_owner(metadata, owner, client)["id"]
    files, log = _list_output(client, kernel)
    if not files and not log:
        raise InputError(
            f"{kernel} must have left something to fetch, but has not: if its status is complete, look at its page, "
            f"https://www.kaggle.com/code/{kernel}."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with open_staging_folder(target.parent) as staging:
        output = staging / "output"
        output.mkdir()
        for name, address in files:
            _fetch(name, address, output)
        if log:
            (output / f"{kernel.partition('/')[2]}.log").write_text(log, encoding="utf-8")
        output.replace(target)
    submission = target / "submission.csv"
    advice = f" Hand it in: python -m digit_recognizer.submit {submission} -m MESSAGE" if submission.exists() else ""
    if (target / "run" / "config.json").exists():
        advice = f" Its run is {target / 'run'}.{advice}"
    return f"{target} holds {len(files)} files of {kernel}.{advice}"


def find_free_folder(parent: Path, name: str) -> Path:
    """`<parent>/<name>`, or with -2, -3 and so on appended, whichever is not there."""
    path, number = parent / name, 1
    while path.exists():
        number += 1
        path = parent / f"{name}-{number}"
    return path


def _ask_status(client: Any, kernel: str) -> Any:
    try:
        with ask_kaggle(ADVICE):
            return client.kernels_status(kernel)
    except ValueError as error:  # so the client says 401 and 403
        raise error if isinstance(error, InputError) else InputError(ADVICE[403]) from None


def _list_output(client: Any, kernel: str) -> tuple[list[tuple[str, str]], str]:
    """Names and addresses of the files, and the log.

    The client's own `kernels_output` saves whatever an address answers, an error's page too, under whatever name.
    """
    from kagglesdk.kernels.types.kernels_api_service import ApiListKernelSessionOutputRequest

    request = ApiListKernelSessionOutputRequest()
    request.user_name, _, request.kernel_slug = kernel.partition("/")
    request.page_size = 100
    files: list[tuple[str, str]] = []
    while True:
        with ask_kaggle(ADVICE), client.build_kaggle_client() as kaggle:
            answer = kaggle.kernels.kernels_api_client.list_kernel_session_output(request)
        files += [(file.file_name, file.url) for file in answer.files or []]
        if not answer.next_page_token:
            return files, answer.log or ""
        request.page_token = answer.next_page_token


def _fetch(name: str, address: str, folder: Path) -> None:
    import requests

    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or not name.isprintable():
        raise InputError(f"a kernel's files must lie in its output, but one is called {name[:60]!r}: fetch it by hand.")
    path = folder.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    with ask_kaggle(ADVICE), requests.get(address, stream=True) as answer, path.open("wb") as file:
        answer.raise_for_status()
        for chunk in answer.iter_content(CHUNK_BYTES):
            file.write(chunk)


def _read_metadata(folder: Path) -> dict[str, Any]:
    if not (folder / METADATA).is_file():
        raise InputError(
            f"{folder} must hold a kernel, with a {METADATA}: name one of kernels/, or build it by python -m "
            "digit_recognizer.kernel build MODEL."
        )
    metadata = read_json(folder / METADATA)
    wanted = isinstance(metadata, dict) and all(isinstance(metadata.get(key), str) for key in ("id", "code_file"))
    if not wanted or metadata["id"].count("/") != 1 or Path(metadata["code_file"]).name != metadata["code_file"]:
        raise InputError(f"{folder / METADATA} must tell id and code_file of a kernel, but does not: build it anew.")
    return dict(metadata)


def _fill_owner(metadata: dict[str, Any], owner: str | None, client: Any) -> dict[str, Any]:
    """Put the account's name wherever the placeholder stands."""
    name = owner or client.get_config_value("username") or ""
    if f"{OWNER}/" not in json.dumps(metadata):
        return metadata
    if not name:
        raise InputError("the kernel's owner must be known, but the login does not tell its name: pass --owner NAME.")
    filled: dict[str, Any] = json.loads(json.dumps(metadata).replace(f'"{OWNER}/', f'"{name}/'))
    return filled


def _explain(error: ValueError, folder: Path) -> InputError:
    """The client's own complaint about the metadata: it is of what stands in the file, and holds no secret."""
    return InputError(f"{folder / METADATA} must be as Kaggle's client takes it, but: {_shorten(str(error))}")


def _shorten(text: str) -> str:
    line = " ".join(str(text).split())
    return "".join(mark for mark in line if mark.isprintable())[:200]
