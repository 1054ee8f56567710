"""What a kernel has left on Kaggle, fetched whole into a new folder."""

import ast
import base64
import bz2
import json
import re
import shutil
import tempfile
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from string import Template
from typing import Any

import digit_recognizer
from digit_recognizer import __version__
from digit_recognizer.competition.client import COMPETITION, STATUS_ADVICE, UNREADABLE, ask_kaggle, load_client, quote
from digit_recognizer.competition.submissions import COMMIT, find_commit
from digit_recognizer.errors import MESSAGES, InputError
from digit_recognizer.io import (
    check_writable_folder,
    open_staging_folder,
    read_json,
    write_json,
    write_text,
)
from digit_recognizer.models import list_models, load_model_module

# The package as one text: what a kernel needs of it, packed, and unpacked again.
#
# A kernel is one file, so the package travels inside it. Which files go along is settled by their imports, beginning with
# what the kernel calls; whatever else lies in the package's folder stays at home, secrets above all. The bytes follow
# from the files alone: JSON in a fixed order, compressed by bzip2, of which there is one encoder (zlib has several).

PACKAGE = Path(digit_recognizer.__file__).resolve().parent
NAME = PACKAGE.name
LINE_LENGTH = 116


def pack_package(entrances: Sequence[str], commit: str | None) -> str:
    """The modules that `entrances` need, as lines of base64.

    Args:
        entrances: names of modules, such as digit_recognizer.models.champion.
        commit: that the code stands at.

    Raises:
        InputError: if a module is missing.
    """
    contents = {
        f"{NAME}/{COMMIT}": f"{commit or ''}\n",
        f"{NAME}/{MESSAGES.name}": MESSAGES.read_text(encoding="utf-8"),
    }
    for path in list_needed(entrances):
        contents[path.relative_to(PACKAGE.parent).as_posix()] = path.read_text(encoding="utf-8")
    packed = bz2.compress(json.dumps(contents, sort_keys=True, ensure_ascii=False).encode())
    return "\n".join(textwrap.wrap(base64.b64encode(packed).decode(), LINE_LENGTH))


def unpack_package(text: str) -> Mapping[str, str]:
    """The files of a packed package: their text by their path."""
    contents: dict[str, str] = json.loads(bz2.decompress(base64.b64decode(text)))
    return contents


def list_needed(entrances: Sequence[str]) -> list[Path]:
    """The files of this package that some modules import, and those that these import, in alphabetical order.

    Imports inside functions count as well; names that are put together while a module runs cannot be seen, so a
    model's module is an entrance of its own.

    Raises:
        InputError: if an entrance is no module.
    """
    for name in entrances:
        if not _find_files(name):
            raise InputError(f"{name} must be a module of {NAME}, but there is none: look for a typing error.")
    found: set[Path] = set()
    waiting = [path for name in entrances for path in _find_files(name)]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += [other for name in _list_imports(path) for other in _find_files(name)]
    return sorted(found)


def _list_imports(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]  # a module, or a name in one
    return [name for name in names if name.split(".")[0] == NAME]


def _find_files(name: str) -> list[Path]:
    """The module's file and those of the packages that it is in; a name inside a module finds that module."""
    files, place = [PACKAGE / "__init__.py"], PACKAGE
    for part in name.split(".")[1:]:
        place = place / part
        if (place / "__init__.py").is_file():
            files.append(place / "__init__.py")
        elif place.with_suffix(".py").is_file():
            return [*files, place.with_suffix(".py")]
        else:
            return files if len(files) > 1 else []
    return files


# Kernels for Kaggle: a folder with one code file, which carries the package, and its metadata.
#
# The same package, model and commit give the same bytes.

KERNELS = Path("kernels")
METADATA = "kernel-metadata.json"
OWNER = "OWNER"  # stands for the account's name until a kernel is pushed
CALLED = ("digit_recognizer.backend", "digit_recognizer.competition.kernel_session")  # by the code below
HOURS = 11.5  # Kaggle ends a session after 12, and then keeps nothing

SCRIPT = Template('''\
"""Kaggle's Digit Recognizer by the model $model: cross-validated, with a submission.

This one file carries the package digit_recognizer $version (commit $commit), packed below, and runs the
cross-validation that `python -m digit_recognizer.cv --model $model` runs at home. It takes nothing from the network.

Attached  the competition $competition$attached
Leaves    submission.csv to hand in, and its note; class_counts, samples, curves, confusion and hardest .png;
          run/ with every probability and net (see "What a run leaves" in the package's README)

Made by `python -m digit_recognizer.kernel build $model`. Change the settings here, the rest in the package.
"""

SETTINGS = {}  # what differs from the model's recipe, as {"seed": 1}; {"smoke": True} tries all in a minute
HOURS = $hours  # then the run stops and keeps what is done; a next version that has this one attached goes on


def main():
    """Unpack the package, then cross-validate."""
    unpack()
    from digit_recognizer.errors import MESSAGES, InputError
    from digit_recognizer.competition.kernel_session import run_session

    try:
        run_session("$model", SETTINGS, HOURS)
    except InputError as error:  # something attached or set is wrong, and this line says what
        raise SystemExit(f"$model: {error}") from None


$unpack


# From here on there is only the package, as base64 of bzip2 of JSON: the text of each file by its path.
PACKAGE = """
$package
"""

if __name__ == "__main__":
    main()
''')

UNPACK = '''\
def unpack():
    """Write the package to a folder of its own and import from there."""
    import base64
    import bz2
    import json
    import os
    import sys
    import tempfile
    from pathlib import Path

    folder = Path(tempfile.mkdtemp())
    for name, text in json.loads(bz2.decompress(base64.b64decode(PACKAGE))).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    sys.path.insert(0, str(folder))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # else TensorFlow's notes on its start come first
    from digit_recognizer.backend import import_keras

    import_keras()'''


@dataclass(frozen=True, kw_only=True)
class KernelPlan:
    """What a kernel is to be.

    Attributes:
        model: that it cross-validates.
        owner: the account's name; OWNER leaves it to `kernel push`.
        gpu: whether it asks for an accelerator.
        resume: whether its own earlier version is attached, to go on where that ran out of time.
        weights_source: the data set, as owner/name, that holds a transfer net's weights; None takes the model's own.
        commit: that last changed the package; None asks git.
        overwrite: whether a kernel that was edited by hand may be replaced.
    """

    model: str
    owner: str = OWNER
    gpu: bool = False
    resume: bool = False
    weights_source: str | None = None
    commit: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Refuse names that Kaggle has not.

        Raises:
            InputError: for an owner or a data set that cannot be one.
        """
        check_owner(self.owner)
        if self.weights_source is not None and not re.fullmatch("[A-Za-z0-9-]+/[A-Za-z0-9-]+", self.weights_source):
            raise InputError(f"--weights-source takes a data set as owner/name; received {self.weights_source!r}.")

    def find_commit(self) -> str:
        """The commit as it is written down."""
        return self.commit or find_commit() or "unknown"

    def list_data_sources(self) -> list[str]:
        """The data sets that are attached.

        Raises:
            InputError: if no model has that name, or weights are named for one that takes none.
        """
        if self.model not in list_models():
            raise InputError(f"MODEL takes one of {', '.join(list_models())}; received {self.model!r}.")
        own = getattr(load_model_module(self.model), "WEIGHTS_SOURCE", None)
        if self.weights_source and own is None:
            raise InputError(f"--weights-source is for transfer nets; {self.model} has no weights to attach.")
        source = self.weights_source or own
        return [source] if source else []


def check_owner(owner: str) -> None:
    """Refuse what cannot be an account's name.

    Raises:
        InputError: with what was received.
    """
    if not re.fullmatch("[A-Za-z0-9-]+", owner):
        raise InputError(f"--owner takes an account's name on Kaggle; received {owner!r}.")


def build_script(plan: KernelPlan, folder: Path | None = None) -> Path:
    """Write a script kernel.

    Args:
        plan: what it is to be.
        folder: where; by default kernels/<model>. A kernel that is there is replaced, unless it was edited.

    Returns:
        The folder.

    Raises:
        InputError: for an unknown model, or a folder that holds something else.
    """
    sources = plan.list_data_sources()
    script = SCRIPT.substitute(
        model=plan.model,
        version=__version__,
        commit=plan.find_commit(),
        competition=COMPETITION,
        attached="".join(f", the data set {source}" for source in sources),
        hours=HOURS,
        unpack=UNPACK,
        package=pack(plan),
    )
    return write_kernel(
        folder or KERNELS / plan.model, f"{plan.model}.py", script, plan, f"Digit Recognizer {plan.model}"
    )


def pack(plan: KernelPlan) -> str:
    """The package as the plan's kernel carries it."""
    return pack_package([*CALLED, f"digit_recognizer.models.{plan.model}"], plan.find_commit())


def write_kernel(folder: Path, file: str, content: str, plan: KernelPlan, title: str) -> Path:
    """Write a kernel's two files.

    Raises:
        InputError: if the folder holds anything but a kernel of this kind, or one that was edited.
    """
    if folder.exists():
        others = [path.name for path in folder.iterdir() if path.name not in (file, METADATA)]
        if others:
            raise InputError(f"{folder} must hold a kernel and nothing else, but holds {others[0]}: name another.")
    old = folder / file
    if (
        not plan.overwrite
        and old.exists()
        and _strip(old.read_text(encoding="utf-8", errors="replace")) != _strip(content)
    ):
        raise InputError(
            f"{old} must not lose what was edited in it, such as its settings: pass --overwrite, or name another place "
            "by --output-dir."
        )
    write_text(old, content)
    write_json(folder / METADATA, describe_kernel(file, plan, title))
    return folder


def _strip(code: str) -> str:
    """A code file without what differs from build to build: version, commit, what is attached, the package."""
    code = re.sub(r"[0-9][^ ]* [(]commit [^)]*[)]|^Attached .*$", "", code, flags=re.MULTILINE)
    return re.sub(r'PACKAGE = (\\?"){3}.*?(\\?"){3}', "", code, flags=re.DOTALL)


def describe_kernel(file: str, plan: KernelPlan, title: str) -> dict[str, Any]:
    """The content of kernel-metadata.json, with every field that has a default of another mind."""
    name = f"{plan.owner}/{title.lower().replace(' ', '-')}"
    return {
        "id": name,
        "title": title,
        "code_file": file,
        "language": "python",
        "kernel_type": "notebook" if file.endswith(".ipynb") else "script",
        "is_private": True,
        "enable_gpu": plan.gpu,
        "enable_tpu": False,
        "enable_internet": False,
        "competition_sources": [COMPETITION],
        "dataset_sources": plan.list_data_sources(),
        "kernel_sources": [name] if plan.resume else [],
        "model_sources": [],
    }


# Kernels to Kaggle, and how far they are, through Kaggle's client, which keeps quiet about many a failure.

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
