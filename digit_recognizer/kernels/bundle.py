"""The package as one text: what a kernel needs of it, packed, and unpacked again.

A kernel is one file, so the package travels inside it. Which files go along is settled by their imports, beginning with
what the kernel calls; whatever else lies in the package's folder stays at home, secrets above all. The bytes follow
from the files alone: JSON in a fixed order, compressed by bzip2, of which there is one encoder (zlib has several).
"""

import ast
import base64
import bz2
import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import digit_recognizer
from digit_recognizer.competition.provenance import COMMIT
from digit_recognizer.errors import InputError

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
    contents = {f"{NAME}/{COMMIT}": f"{commit or ''}\n"}
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
