"""What a kernel has left on Kaggle, fetched whole into a new folder."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from digit_recognizer.competition.kaggle_client import ask_kaggle, load_client
from digit_recognizer.errors import InputError
from digit_recognizer.files import check_writable_folder, open_staging_folder
from digit_recognizer.kernels.pushing import ADVICE, fill_owner, read_metadata

CHUNK_BYTES = 1 << 20
LONGEST_PAGES = 200  # of 100 files


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
    metadata = read_metadata(folder)
    if target.exists():
        raise InputError(f"--output-dir takes a new folder, but {target} exists: name another.")
    check_writable_folder(target.parent)
    client = load()
    kernel = fill_owner(metadata, owner, client)["id"]
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


def _list_output(client: Any, kernel: str) -> tuple[list[tuple[str, str]], str]:
    """Names and addresses of the files, and the log.

    The client's own `kernels_output` saves whatever an address answers, an error's page too, under whatever name.
    """
    from kagglesdk.kernels.types.kernels_api_service import ApiListKernelSessionOutputRequest

    request = ApiListKernelSessionOutputRequest()
    request.user_name, _, request.kernel_slug = kernel.partition("/")
    request.page_size = 100
    files: list[tuple[str, str]] = []
    for _ in range(LONGEST_PAGES):
        with ask_kaggle(ADVICE), client.build_kaggle_client() as kaggle:
            answer = kaggle.kernels.kernels_api_client.list_kernel_session_output(request)
        files += [(str(file.file_name), str(file.url)) for file in answer.files or []]
        if not answer.next_page_token:
            return files, answer.log or ""
        request.page_token = answer.next_page_token
    raise InputError(f"{kernel} must leave a list of files that ends, but it does not: fetch them by hand.")


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
