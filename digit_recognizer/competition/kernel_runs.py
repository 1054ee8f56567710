"""Kernels on Kaggle: push one, ask for its status, download its output. Kaggle's client hides many of the failures."""

import json
import math
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from digit_recognizer.competition.client import (
    STATUS_CODES,
    UNREADABLE,
    ask_kaggle,
    explain_interruption,
    load_client,
    poll,
    quote,
)
from digit_recognizer.competition.kernels import METADATA, OWNER, check_owner
from digit_recognizer.errors import InputError
from digit_recognizer.io import check_writable_folder, open_staging_folder, read_json, write_json

POLL_SECONDS = 20
CHUNK_BYTES = 1 << 20
LONGEST_PAGES = 200  # of 100 files
UNDER_WAY = ("QUEUED", "RUNNING", "NEW_SCRIPT")
KERNEL_STATUS_CODES = {**STATUS_CODES, 403: "kernel.not_found", 404: "kernel.not_found"}
SOURCES = ("competition", "dataset", "kernel", "model")  # Kaggle lists those that it did not attach


def push(folder: Path, owner: str | None = None) -> str:
    """Send a kernel to Kaggle, which runs it.

    Args:
        folder: holds the code file and kernel-metadata.json; it is not changed.
        owner: the account's name in place of OWNER; None takes that of the login.

    Returns:
        One line: version and address.

    Raises:
        InputError: if the folder holds no kernel, or Kaggle does not take all of it.
    """
    metadata = read_metadata(folder)
    code = folder / metadata["code_file"]
    if not code.is_file() or code.is_symlink():
        raise InputError("kernel.code_file", path=code)
    client = load_client()
    metadata = fill_owner(metadata, owner, client)
    kernel, look = metadata["id"], f"Before you push again, look whether it has arrived: kernel status {folder}"
    with tempfile.TemporaryDirectory() as name, explain_interruption(look), ask_kaggle(KERNEL_STATUS_CODES, look):
        shutil.copyfile(code, Path(name) / code.name)
        write_json(Path(name) / METADATA, metadata)
        try:
            answer = client.kernels_push(name)
        except OSError:  # of the network, some of which are ValueErrors too
            raise
        except UNREADABLE as error:  # not quoted: of a damaged token the client says what it is
            raise InputError("kernel.metadata", path=folder / METADATA, received=type(error).__name__) from None
    if answer is None or answer.error:
        reason = quote(answer.error) if answer is not None else "it gives no reason"
        raise InputError("kernel.refused", path=kernel, received=reason)
    for kind in SOURCES:
        if missing := getattr(answer, f"invalid_{kind}_sources", None):
            raise InputError("kernel.source", path=kernel, received=quote(missing[0]), source=kind)
    if not answer.version_number:
        raise InputError("kernel.no_version", path=kernel)
    return f"{kernel} is pushed as version {answer.version_number} and runs: {quote(answer.url)}"


def report_status(folder: Path, owner: str | None = None, *, wait: bool = False) -> str:
    """The status of a kernel's newest version.

    Args:
        folder: of the kernel.
        owner: the account's name in place of OWNER; None takes that of the login.
        wait: whether to ask until it has ended.

    Returns:
        One line.

    Raises:
        InputError: if there is none, or it has failed or been cancelled.
    """
    client = load_client()
    kernel = fill_owner(read_metadata(folder), owner, client)["id"]

    def ask() -> Any:
        answer = _ask_status(client, kernel)
        return None if wait and answer.status.name in UNDER_WAY else answer

    answer: Any = poll(ask, f"waiting for {kernel}", POLL_SECONDS, math.inf) if wait else ask()
    state = answer.status.name.lower().replace("_", " ")
    if answer.status.name == "COMPLETE":
        return f"{kernel} is complete. Download its output: python -m digit_recognizer.kernel output {folder}"
    if answer.status.name not in UNDER_WAY:
        reason = quote(answer.failure_message or "its log says more (kernel output downloads it)")
        raise InputError("kernel.failed", path=kernel, received=state, reason=reason)
    return f"{kernel} is {state}."


def download_output(folder: Path, target: Path, owner: str | None = None) -> str:
    """Download the output of a kernel's newest version, and its log.

    Args:
        folder: of the kernel.
        target: a new folder; it is there with all files or not at all.
        owner: the account's name in place of OWNER; None takes that of the login.

    Returns:
        One line.

    Raises:
        InputError: if there is no output, a file cannot be downloaded, or `target` exists.
    """
    metadata = read_metadata(folder)
    if target.exists():
        raise InputError("kernel.output_exists", path=target)
    check_writable_folder(target.parent)
    client = load_client()
    kernel = fill_owner(metadata, owner, client)["id"]
    files, log = _list_output(client, kernel)
    if not files and not log:
        raise InputError("kernel.no_output", path=kernel)
    target.parent.mkdir(parents=True, exist_ok=True)
    with open_staging_folder(target.parent) as staging:
        output = staging / "output"
        output.mkdir()
        for name, address in files:
            _download(name, address, output)
        if log:
            (output / f"{kernel.partition('/')[2]}.log").write_text(log, encoding="utf-8")
        output.replace(target)
    submission, run = target / "submission.csv", target / "run"
    lines = [f"{target} holds {len(files)} files of {kernel}."]
    lines += [f"Its run is {run}."] * (run / "config.json").exists()
    lines += [f"Submit it: python -m digit_recognizer.submit {submission} -m MESSAGE"] * submission.exists()
    return " ".join(lines)


def read_metadata(folder: Path) -> dict[str, Any]:
    """The metadata of a kernel.

    Raises:
        InputError: if the folder holds none.
    """
    path = folder / METADATA
    if not path.is_file():
        raise InputError("kernel.none", path=folder)
    metadata = read_json(path)
    if not isinstance(metadata, dict) or not all(isinstance(metadata.get(key), str) for key in ("id", "code_file")):
        raise InputError("kernel.metadata_fields", path=path)
    code = metadata["code_file"]
    if code in ("", METADATA) or code != Path(code).name or metadata["id"].count("/") != 1:
        raise InputError("kernel.metadata_fields", path=path)
    return metadata


def fill_owner(metadata: dict[str, Any], owner: str | None, client: Any) -> dict[str, Any]:
    """Metadata with the account's name in place of OWNER: `owner`, or that of the login.

    Raises:
        InputError: if neither is known.
    """
    if owner:
        check_owner(owner)
    text = json.dumps(metadata)
    if f'"{OWNER}/' not in text:
        return metadata
    name = owner or client.get_config_value("username")
    if not name:
        raise InputError("kernel.unknown_owner")
    filled: dict[str, Any] = json.loads(text.replace(f'"{OWNER}/', f'"{name}/'))
    return filled


def _ask_status(client: Any, kernel: str) -> Any:
    with ask_kaggle(KERNEL_STATUS_CODES):
        try:
            return client.kernels_status(kernel)
        except ValueError as error:  # the client's word for 401 and 403
            if "denied" in str(error):
                raise InputError("kernel.not_found", received=403) from None
            raise


def _list_output(client: Any, kernel: str) -> tuple[list[tuple[str, str]], str]:
    """Names and addresses of the files, and the log.

    The client's own `kernels_output` saves whatever an address answers, also an error's page, under whatever name.
    """
    from kagglesdk.kernels.types.kernels_api_service import ApiListKernelSessionOutputRequest

    request = ApiListKernelSessionOutputRequest()
    request.user_name, _, request.kernel_slug = kernel.partition("/")
    request.page_size = 100
    files: list[tuple[str, str]] = []
    for _ in range(LONGEST_PAGES):
        with ask_kaggle(KERNEL_STATUS_CODES), client.build_kaggle_client() as kaggle:
            answer = kaggle.kernels.kernels_api_client.list_kernel_session_output(request)
            files += [(str(file.file_name), str(file.url)) for file in answer.files or []]
        if not answer.next_page_token:
            return files, answer.log or ""
        request.page_token = answer.next_page_token
    raise InputError("kernel.too_many_files", path=kernel)


def _download(name: str, address: str, folder: Path) -> None:
    import requests

    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or not name.isprintable():
        raise InputError("kernel.file_name", received=repr(name[:60]))
    path = folder.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    with ask_kaggle(KERNEL_STATUS_CODES), requests.get(address, stream=True) as answer, path.open("wb") as file:
        answer.raise_for_status()
        for chunk in answer.iter_content(CHUNK_BYTES):
            file.write(chunk)
