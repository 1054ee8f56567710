"""Kernels for Kaggle: build one, push it, ask for its status, download its output.

A kernel is a folder with one script or notebook and its metadata. The package is packed inside that file. Only modules
that the kernel imports are packed: the walk starts at what the kernel calls, follows every import, and leaves out what
Kaggle's machine never uses. Other files in the package's folder, secrets above all, are never packed. The same package,
model and commit give the same bytes: JSON in a fixed order, compressed by bzip2, of which there is one encoder (zlib
has several).

`kernels/` is rebuilt at each version (`make kernels`), not at each commit.

Kaggle's client hides many failures of a push, a status or an output; here each is an error.
"""

import ast
import base64
import bz2
import inspect
import io
import json
import math
import re
import shutil
import tempfile
import textwrap
import tokenize
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from modulefinder import ModuleFinder
from pathlib import Path
from string import Template
from typing import Annotated, Any

from digit_recognizer import __version__
from digit_recognizer.arguments import Positional
from digit_recognizer.competition.client import (
    COMPETITION,
    STATUS_CODES,
    UNREADABLE,
    ask_kaggle,
    explain_interruption,
    load_client,
    poll,
    quote,
)
from digit_recognizer.competition.submissions import COMMIT, PACKAGE, find_commit
from digit_recognizer.config import is_user_model
from digit_recognizer.errors import MESSAGES, InputError
from digit_recognizer.io import check_writable_folder, open_staging_folder, read_json, write_json, write_text
from digit_recognizer.models import build_config, load_model_module

KERNELS = Path("kernels")
METADATA = "kernel-metadata.json"
OWNER = "OWNER"  # stands for the account's name until a kernel is pushed
HOURS = 11.5  # Kaggle ends a session after 12, and then keeps nothing
LINE_LENGTH = 116
# modules that the templates call
CALLED_BY_SCRIPT = ("digit_recognizer.backend", "digit_recognizer.competition.kernel_session")
CALLED_BY_NOTEBOOK = (
    "digit_recognizer.backend",
    "digit_recognizer.competition.submissions",
    "digit_recognizer.data.dataset",
    "digit_recognizer.data.splits",
    "digit_recognizer.evaluation.metrics",
    "digit_recognizer.training.optimizers",
)
LEFT_OUT = [  # imported only inside functions that a kernel never calls, or with arguments that it never passes
    "digit_recognizer.training.ray_executor",
    "digit_recognizer.training.process_executor",
    "digit_recognizer.data.sources",
]
LEFT_OUT_OF_NOTEBOOK = [*LEFT_OUT, "digit_recognizer.data.frames"]
POLL_SECONDS = 20
CHUNK_BYTES = 1 << 20
UNDER_WAY = ("QUEUED", "RUNNING", "NEW_SCRIPT")
KERNEL_STATUS_CODES = {**STATUS_CODES, 403: "kernel.not_found", 404: "kernel.not_found"}
SOURCES = ("competition", "dataset", "kernel", "model")  # Kaggle lists those that it did not attach

SCRIPT = Path(__file__).with_name("kernel_script.txt")  # both with $gaps
NOTEBOOK = Path(__file__).with_name("kernel_notebook.md")  # see `make_notebook`
CHAMPION, OTHER, PACKED, COVER = "champion", "other", "package", "cover"  # kinds of its blocks
HIDDEN = {"_kg_hide-input": True, "jupyter": {"source_hidden": True}}  # Kaggle's way to fold a cell, and Jupyter's


@dataclass(frozen=True)
class NotebookArguments:
    """Write kernels/notebook-MODEL: model and training loop in cells that one can edit, and kernel-metadata.json."""

    model: Annotated[str, Positional("MODEL")] = CHAMPION
    """What it cross-validates."""
    owner: str = OWNER
    """The account's name on Kaggle; `kernel push` fills in OWNER."""
    gpu: bool = False
    """Ask for an accelerator, which uses up a weekly quota."""
    output_dir: Path | None = None
    """Folder to write (default: the kernel's own under kernels/)."""
    overwrite: bool = False
    """Replace a kernel that is there; edits of it are lost."""


@dataclass(frozen=True)
class BuildArguments(NotebookArguments):
    """Write kernels/MODEL: one script that carries the package, and kernel-metadata.json."""

    model: Annotated[str, Positional("MODEL")] = field()  # else it would have the default above
    """What it cross-validates."""
    resume: bool = False
    """Attach the output of its earlier version, to resume where that ran out of time."""


# ---- the package as one text


def pack_package(
    modules: Sequence[str], commit: str, *, whole: Sequence[str] = (), left_out: Sequence[str] | None = None
) -> str:
    """The files that `modules` need, as lines of base64; words for people only in those that are kept whole."""
    contents = {f"{PACKAGE.name}/{COMMIT}": f"{commit}\n"}
    for path in list_needed(modules, left_out):
        text, name = path.read_text(encoding="utf-8"), path.relative_to(PACKAGE.parent).as_posix()
        keeps = name.removesuffix(".py").replace("/", ".") in whole
        contents[name] = text if keeps else _blank_words(text)
    contents[f"{PACKAGE.name}/{MESSAGES.name}"] = _select_messages("".join(contents.values()))
    packed = bz2.compress(json.dumps(contents, sort_keys=True, ensure_ascii=False).encode())
    return "\n".join(textwrap.wrap(base64.b64encode(packed).decode(), LINE_LENGTH))


def _select_messages(code: str) -> str:
    """The wording of the errors that some code raises: the others are a tenth of a notebook's bytes."""
    area, kept = "", []
    for line in MESSAGES.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            area = line.strip("[]")
        if line.startswith("[") or f'"{area}.{line.partition(" ")[0]}"' in code:
            kept.append(line)
    return "\n".join(kept) + "\n"


def _blank_words(code: str) -> str:
    """Code without docstrings and comments, half of the bytes; line numbers in tracebacks stay true."""
    lines = code.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and len(node.body) > 1:
            first = node.body[0]
            if ast.get_docstring(node) is not None and first.end_lineno:
                lines[first.lineno - 1 : first.end_lineno] = [""] * (first.end_lineno - first.lineno + 1)
    return "\n".join(lines)


class PackageFinder(ModuleFinder):
    """Finds modules of this package alone; it reads imports, inside functions too, and runs nothing."""

    def find_module(self, name: str, path: Any, parent: Any = None) -> Any:
        """Where a module is; `path` is None of one that is in no package."""
        if path is None and name != PACKAGE.name:
            raise ImportError(name)
        return super().find_module(name, path, parent)


def list_needed(modules: Iterable[str], left_out: Sequence[str] | None = None) -> list[Path]:
    """The files of some modules and of all that these import, but `left_out` (None: `LEFT_OUT`), in alphabetical order.

    A module whose name is put together at run time, as a model's is, must be named.
    """
    finder = PackageFinder([str(PACKAGE.parent)], excludes=list(LEFT_OUT if left_out is None else left_out))
    for module in modules:
        finder.import_hook(module)
    found = finder.modules.values()
    return sorted(Path(module.__file__) for module in found)  # type: ignore[attr-defined]  # missing in typeshed


# ---- the files of a kernel


def unpack(package: str) -> None:
    """Write the package to a folder of its own and import from there."""
    import base64  # inside, because a kernel carries this function's text alone
    import bz2
    import json
    import sys
    import tempfile
    from pathlib import Path

    folder = Path(tempfile.mkdtemp())
    for name, text in json.loads(bz2.decompress(base64.b64decode(package))).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    sys.path.insert(0, str(folder))


def build_script(arguments: BuildArguments) -> Path:
    """Write a script kernel; returns its folder.

    Raises:
        InputError: for an unknown model, or a folder that holds a kernel already.
    """
    model = f"digit_recognizer.models.{arguments.model}"
    modules = [*CALLED_BY_SCRIPT, model]
    attached, commit = _list_weights(arguments.model), find_commit() or "unknown"
    values = {
        **_name_version(arguments.model, commit),
        "competition": COMPETITION,
        "attached": "".join(f", the data set {source}" for source in attached),
        "hours": HOURS,
        "unpack": inspect.getsource(unpack).strip(),
        "package": pack_package(modules, commit, whole=modules),
    }
    content = Template(SCRIPT.read_text(encoding="utf-8")).substitute(values)
    return _write_kernel(arguments, arguments.model, f"{arguments.model}.py", content)


def build_notebook(arguments: NotebookArguments) -> Path:
    """Write a notebook kernel with the same model, in cells that one can edit; returns its folder.

    Raises:
        InputError: as `build_script`, and for a model with a pretrained backbone, whose training is no plain loop.
    """
    import nbformat

    if _list_weights(arguments.model):
        raise InputError("kernel.notebook_pretrained", received=arguments.model)
    modules, commit = list(CALLED_BY_NOTEBOOK), find_commit() or "unknown"
    if arguments.model != CHAMPION:  # whose cell is plain Keras; another's is its file, with what that imports
        modules.append(f"digit_recognizer.models.{arguments.model}")
    package = pack_package(modules, commit, left_out=LEFT_OUT_OF_NOTEBOOK)
    package = package.replace("\n", "")  # one line: where a cell cannot be folded, hundreds would be scrolled past
    values = {
        **_name_version(arguments.model, commit),
        "badges": "",
        "origin": Template(CARRIED).substitute(_name_version(arguments.model, commit)),
        "package_text": PACKAGE_TEXT,
        "package_code": f'{inspect.getsource(unpack).strip()}\n\n\nPACKAGE = """\n{package}\n"""\nunpack(PACKAGE)',
        "next": "",
    }
    notebook = make_notebook(NOTEBOOK.read_text(encoding="utf-8"), {**values, **describe_recipe(arguments.model)})
    return _write_kernel(arguments, f"notebook-{arguments.model}", "notebook.ipynb", nbformat.writes(notebook) + "\n")


CARRIED = """\
It needs no internet: it carries a part of the package `digit_recognizer` $version (commit $commit), folded away at the
end of the set-up. The outputs are of the bundled sample, 1,797 digits of another source, so that they can be made
again without the competition's files. Run it to see the real ones."""
PACKAGE_TEXT = """\
The next cell unpacks what is tedious and already tested: reading and checking the tables, folds that know
near-duplicates, the interval of the score, the submission with its provenance, and the optimizer. Model, augmentation
and training loop are not in it: they are in the cells below."""


def describe_recipe(model: str) -> dict[str, Any]:
    """What fills the gaps of the notebook about a model and its recipe."""
    config, module = build_config(model), load_model_module(model)
    code = inspect.getsource(module)
    docstring = ast.get_docstring(ast.parse(code)) or ""
    paragraphs = [" ".join(text.split()) for text in docstring.split("\n\n")]
    names = ("epochs", "batch_size", "optimizer", "learning_rate", "weight_decay", "schedule", "label_smoothing", "tta")
    return {
        **{name: getattr(config, name) for name in names},
        "model": model,
        "options": f", Options({', '.join(config.model_args)})" if hasattr(module, "Options") else "",
        "augment": config.augmentation != "none",
        "optimizer_words": {"muon": "Muon, which treats a convolution as a matrix"}.get(
            config.optimizer, config.optimizer.capitalize()
        ),
        "tta_words": f"{config.tta} times, moved by up to a pixel, and the mean counts" if config.tta > 1 else "once",
        "model_text": "\n\n".join(text for text in paragraphs if text.startswith("Expect") or text == paragraphs[0]),
        "model_code": re.sub(r'^""".*?"""\n+', "", code, count=1, flags=re.DOTALL).strip(),
        "other": model != CHAMPION,
    }


def make_notebook(text: str, values: Mapping[str, Any]) -> Any:
    """Make a notebook of Markdown, in which each Python block becomes a code cell.

    The word after ```python says what kind of block it is: of `champion` and `other` the one that fits the model is
    kept, `package` is folded away, and `cover` is tagged, as its picture stands for the notebook.

    Args:
        text: Markdown with $gaps.
        values: what fills the gaps.
    """
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    cells: list[Any] = []
    parts = re.split(r"(?ms)^```python(?: (\w+))?\n(.*?)^```\n", text)
    for place, part in enumerate(parts):  # Markdown, the kind of the block after it, the block, and so on
        content = part.strip() if part and place % 3 != 1 else ""
        kind = parts[place - 1] if place % 3 == 2 else None
        if not content or kind == (CHAMPION if values.get("other") else OTHER):
            continue
        make = new_code_cell if place % 3 == 2 else new_markdown_cell
        metadata = HIDDEN if kind == PACKED else {"tags": [COVER]} if kind == COVER else {}
        # ids are random by default, and the same package must give the same bytes
        content = Template(content).substitute(values).strip()
        cells.append(make(content, id=f"cell-{len(cells):02}", metadata=metadata))
    python = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return new_notebook(cells=cells, metadata={"kernelspec": python, "language_info": {"name": "python"}})


def _name_version(model: str, commit: str) -> dict[str, Any]:
    return {"model": model, "version": __version__, "commit": commit}


def _list_weights(model: str) -> list[str]:
    """The data set with a pretrained model's weights; of other models none."""
    if is_user_model(model):
        raise InputError("kernel.own_model", path=model)
    source = getattr(load_model_module(model), "WEIGHTS_SOURCE", None)
    return [source] if source else []


def _write_kernel(arguments: NotebookArguments, name: str, file: str, content: str) -> Path:
    folder = arguments.output_dir or KERNELS / name
    taken = [folder / name for name in (file, METADATA) if (folder / name).exists()]
    if taken and not arguments.overwrite:
        raise InputError("kernel.exists", path=taken[0])
    write_text(folder / file, content)
    kernel = f"{arguments.owner}/{COMPETITION}-{name}"
    metadata = {  # every field whose default on Kaggle differs from ours
        "id": kernel,
        "title": f"Digit Recognizer {name.replace('-', ' ')}",  # Kaggle makes the id's second part of it
        "code_file": file,
        "language": "python",
        "kernel_type": "notebook" if file.endswith(".ipynb") else "script",
        "is_private": True,
        "enable_gpu": arguments.gpu,
        "enable_tpu": False,
        "enable_internet": False,
        "competition_sources": [COMPETITION],
        "dataset_sources": _list_weights(arguments.model),
        "kernel_sources": [kernel] if getattr(arguments, "resume", False) else [],
        "model_sources": [],
    }
    write_json(folder / METADATA, metadata)
    return folder


# ---- on Kaggle


def push(folder: Path) -> str:
    """Send a kernel to Kaggle, which runs it; returns a line with version and address. The folder is not changed.

    Raises:
        InputError: if the folder holds no kernel, or Kaggle does not take all of it.
    """
    client, metadata = _open_kernel(folder)
    code = folder / metadata["code_file"]
    if not code.is_file() or code.is_symlink():
        raise InputError("kernel.code_file", path=code)
    kernel, look = metadata["id"], f"look whether it has arrived before you push again: kernel status {folder}"
    with tempfile.TemporaryDirectory() as name:
        shutil.copyfile(code, Path(name) / code.name)
        write_json(Path(name) / METADATA, metadata)
        with explain_interruption(look), ask_kaggle(KERNEL_STATUS_CODES, f"Then {look}"):
            try:
                answer = client.kernels_push(name)
            except OSError:  # of the network, some of which are ValueErrors too
                raise
            except UNREADABLE as error:  # not quoted: of a damaged token the client says what it is
                raise InputError("kernel.metadata", path=folder / METADATA, received=type(error).__name__) from None
    if answer is not None and answer.error:
        raise InputError("kernel.refused", path=kernel, received=quote(answer.error))
    if answer is None or not answer.version_number:
        raise InputError("kernel.no_version", path=kernel)
    for kind in SOURCES:
        if missing := getattr(answer, f"invalid_{kind}_sources", None):
            raise InputError("kernel.source", path=kernel, received=quote(missing[0]), source=kind)
    return f"{kernel} is pushed as version {answer.version_number} and runs: {quote(answer.url)}"


def report_status(folder: Path, wait: bool = False) -> str:
    """The status of a kernel's newest version in one line; if `wait`, asked for until it has ended.

    Raises:
        InputError: if there is none, or it has failed or been cancelled.
    """
    client, metadata = _open_kernel(folder)
    kernel = metadata["id"]

    def ask() -> Any:
        with ask_kaggle(KERNEL_STATUS_CODES):
            try:
                answer = client.kernels_status(kernel)
            except ValueError as error:  # the client's word for 401 and 403
                if "denied" in str(error):
                    raise InputError("kernel.not_found", received=403) from None
                raise
        return None if wait and answer.status.name in UNDER_WAY else answer

    answer: Any = poll(ask, f"waiting for {kernel}", POLL_SECONDS, math.inf) if wait else ask()
    state = answer.status.name.lower().replace("_", " ")
    if answer.status.name == "COMPLETE":
        return f"{kernel} is complete. Download its output: python -m digit_recognizer.kernel output {folder}"
    if answer.status.name not in UNDER_WAY:
        reason = quote(answer.failure_message or "its log says more (kernel output downloads it)")
        raise InputError("kernel.failed", path=kernel, received=state, reason=reason)
    return f"{kernel} is {state}."


def download_output(folder: Path, target: Path) -> str:
    """Download the output of a kernel's newest version, and its log; returns a line about them.

    Args:
        folder: of the kernel.
        target: a new folder; it is there with all files or not at all.

    Raises:
        InputError: if there is no output, a file cannot be downloaded, or `target` exists.
    """
    if target.exists():
        raise InputError("kernel.output_exists", path=target)
    check_writable_folder(target.parent)
    client, metadata = _open_kernel(folder)
    kernel = metadata["id"]
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
    line, submission = f"{target} holds {len(files)} files of {kernel}.", target / "submission.csv"
    if submission.exists():
        line += f" Submit it: python -m digit_recognizer.submit {submission} -m MESSAGE"
    return line


def _open_kernel(folder: Path) -> tuple[Any, dict[str, Any]]:
    """Kaggle's client, and the metadata of a kernel with the login's account name in place of OWNER."""
    path = folder / METADATA
    if not path.is_file():
        raise InputError("kernel.none", path=folder)
    metadata = read_json(path)
    texts = isinstance(metadata, dict) and all(isinstance(metadata.get(key), str) for key in ("id", "code_file"))
    if not texts or metadata["id"].count("/") != 1:
        raise InputError("kernel.metadata_fields", path=path)
    client, text = load_client(), json.dumps(metadata)
    if f'"{OWNER}/' in text:
        name = client.get_config_value("username")
        if not name:
            raise InputError("kernel.unknown_owner")
        metadata = json.loads(text.replace(f'"{OWNER}/', f'"{name}/'))
    return client, metadata


def _list_output(client: Any, kernel: str) -> tuple[list[tuple[str, str]], str]:
    """Names and addresses of the files, and the log.

    The client's own `kernels_output` saves whatever an address answers, also an error's page, under whatever name.
    """
    from kagglesdk.kernels.types.kernels_api_service import ApiListKernelSessionOutputRequest

    request = ApiListKernelSessionOutputRequest()
    request.user_name, _, request.kernel_slug = kernel.partition("/")
    request.page_size = 100
    files: list[tuple[str, str]] = []
    while True:
        with ask_kaggle(KERNEL_STATUS_CODES), client.build_kaggle_client() as kaggle:
            answer = kaggle.kernels.kernels_api_client.list_kernel_session_output(request)
            files += [(str(file.file_name), str(file.url)) for file in answer.files or []]
        if not answer.next_page_token:
            return files, answer.log or ""
        request.page_token = answer.next_page_token


def _download(name: str, address: str, folder: Path) -> None:
    import requests

    path = folder / name
    if not path.is_relative_to(folder) or ".." in path.parts or not name.isprintable() or "\\" in name:
        raise InputError("kernel.file_name", received=repr(name[:60]))
    path.parent.mkdir(parents=True, exist_ok=True)
    with ask_kaggle(KERNEL_STATUS_CODES), requests.get(address, stream=True) as answer, path.open("wb") as file:
        answer.raise_for_status()
        for chunk in answer.iter_content(CHUNK_BYTES):
            file.write(chunk)
