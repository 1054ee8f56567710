"""From a dataclass to a command line: its flags, their help, and messages about what was typed wrong.

argparse splits the arguments and lays out the help; what a flag is called, takes and means comes from the dataclass.
"""

import argparse
import ast
import dataclasses
import functools
import inspect
import itertools
import shutil
import textwrap
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, TypeVar

from digit_recognizer.config import describe_type, expand_path, flag
from digit_recognizer.console import print_line
from digit_recognizer.errors import InputError, suggest

Arguments = TypeVar("Arguments")
MAX_COLUMNS = 100
MAX_RECEIVED = 60  # characters of what was typed, in a message
METAVARS = {int: "N", float: "X", Path: "PATH"}
ALL_IN_ONE: Mapping[str, Sequence[str]] = {"flags": ()}


@dataclass(frozen=True)
class Positional:
    """Marks a field that is known by its position: `Annotated[Path, Positional("RUN")]`; a dataclass has one."""

    metavar: str


@dataclass(frozen=True)
class Named:
    """Marks a field whose flag has another name, or a short one too: `Annotated[str, Named("--message", "-m")]`."""

    name: str
    short: str = ""


@dataclass(frozen=True)
class Flag:
    """A field of a dataclass, as the command line has it.

    Attributes:
        field: its name.
        names: such as --message and -m; of a switch --smoke and --no-smoke; of a positional argument none.
        metavar: what stands for a value in the help.
        kind: its type.
        default: `MISSING` if it must be given.
        meaning: the docstring below the field.
    """

    field: str
    names: tuple[str, ...]
    metavar: str
    kind: Any
    default: Any
    meaning: str

    @property
    def label(self) -> str:
        """What a message calls it."""
        return self.names[0] if self.names else self.metavar

    @property
    def shown_names(self) -> tuple[str, ...]:
        """The names that do something: of a switch, the one that changes its default."""
        return self.names if self.kind is not bool else self.names[1:] if self.default is True else self.names[:1]

    @property
    def help(self) -> str:
        """Its meaning and its default."""
        if self.default is MISSING:
            return f"{self.meaning} (required)" if self.names else self.meaning
        if self.kind is bool or self.default in ((), "", None):
            return self.meaning
        shown = " ".join(map(str, self.default)) if isinstance(self.default, tuple) else self.default
        return f"{self.meaning} (default: {shown})"

    def read(self, texts: Any) -> Any:
        """The value, from the texts on the command line; True or False of a switch stays what it is.

        Raises:
            InputError: if there are too few or too many, or one is of another type.
        """
        if self.kind is bool:
            return texts
        origin, kinds = typing.get_origin(self.kind), typing.get_args(self.kind)
        several, any_number = origin in (tuple, list), origin is list or ... in kinds
        wanted, expected = len(kinds) if several else 1, describe_type(self.kind)
        if len(texts) < wanted and not any_number:
            raise InputError("cli.incomplete", column=self.label, expected=expected)
        if len(texts) > wanted and not any_number:
            raise InputError("cli.extra", received=_shorten(texts[wanted]))
        try:
            values = [_read_value(kinds[0] if several else self.kind, text) for text in texts]
        except (ValueError, KeyError):
            received = _shorten(" ".join(texts))
            raise InputError("cli.value", column=self.label, expected=expected, received=received) from None
        return origin(values) if origin and several else values[0]


def parse_arguments(
    kind: type[Arguments],
    subcommand: str,
    arguments: Sequence[str],
    defaults: Mapping[str, Any] | None = None,
    description: str | None = None,
    groups: Mapping[str, Sequence[str]] = ALL_IN_ONE,
) -> Arguments:
    """Turn command-line arguments into a typed configuration.

    Args:
        kind: a dataclass; its fields are the flags, the docstrings below them the help.
        subcommand: the command's name.
        arguments: without the program's name.
        defaults: by field, where they differ from the dataclass's own.
        description: what the command does, for `--help`; None takes the dataclass's docstring.
        groups: title -> fields, for `--help`; `-h` shows the first group alone. Fields that none names are
            in the one that names none.

    Raises:
        InputError: for an unknown flag or a value of the wrong type.
        SystemExit: with code 0 after `--help`.
    """
    defaults = defaults or {}
    flags = list_flags(kind, defaults)
    if "-h" in arguments or "--help" in arguments:
        parser = _build_parser(flags, groups, brief="--help" not in arguments)
        names = [f"[{one.metavar}]" if one.default is not MISSING else one.metavar for one in flags if not one.names]
        parser.usage = " ".join([f"python -m digit_recognizer.{subcommand}", *names, "[FLAGS]"])
        parser.description = read_docstring(kind) if description is None else description
        print_line(parser.format_help().rstrip())
        raise SystemExit(0)
    given, unknown = read_arguments(kind, arguments)
    if unknown and unknown[0].startswith("-"):
        received, known = unknown[0].partition("=")[0], [name for one in flags for name in one.names]
        hint = suggest(received, [*known, "--help", "--debug"])
        raise InputError("cli.flag_unknown", received=_shorten(received), hint=hint)
    if unknown:
        raise InputError("cli.extra", received=_shorten(unknown[0]))
    for one in flags:
        if one.default is MISSING and one.field not in given:
            raise InputError("cli.required", column=one.label, meaning=one.meaning)
    return kind(**{**defaults, **given})


def read_arguments(kind: type, arguments: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """What was typed.

    Returns:
        Values by the fields of a dataclass; and what belongs to none of them.

    Raises:
        InputError: for a value that is missing, or of the wrong type.
    """
    flags = list_flags(kind)
    try:  # intermixed: flags may stand before, between and after positional arguments
        found, unknown = _build_parser(flags).parse_known_intermixed_args([_spell(one) for one in arguments])
    except argparse.ArgumentError as error:
        names = str(error.argument_name).split("/")
        one = next((one for one in flags if names[0] in one.names), None)
        if one is None:  # -helpme, --debug=1: these two are fields of no dataclass
            received = next(word for word in arguments if word.startswith(tuple(names)))
            raise InputError(
                "cli.flag_unknown", received=_shorten(received), hint=f" Did you mean {names[-1]}?"
            ) from None
        if one.kind is bool:  # something follows its =
            raise InputError("cli.extra", received=str(error.message).rpartition("argument ")[2]) from None
        raise InputError("cli.incomplete", column=one.label, expected=describe_type(one.kind)) from None
    # after an unknown flag, its value would count as a positional argument
    known = [one for one in flags if one.field in found and (one.names or not unknown)]
    return {one.field: one.read(getattr(found, one.field)) for one in known}, unknown


def _spell(argument: str) -> str:
    """A flag as this package spells it: `--batch_size=8` is `--batch-size=8`."""
    name, equals, value = argument.partition("=")
    return f"{name.replace('_', '-')}{equals}{value}" if name.startswith("--") else argument


def _read_value(kind: Any, text: str) -> Any:
    if typing.get_origin(kind) is typing.Literal:
        return {str(choice): choice for choice in typing.get_args(kind)}[text]
    if kind is Path and not text:  # a shell's variable that is not set; it would be the current folder
        raise ValueError
    return expand_path(text) if kind is Path else kind(text)


def _shorten(text: str) -> str:
    return repr(text if len(text) <= MAX_RECEIVED else f"{text[:MAX_RECEIVED]}…")


# ---- flags and their help


def list_flags(kind: type, defaults: Mapping[str, Any] | None = None) -> list[Flag]:
    """The flags of a dataclass, in the order of its fields.

    Args:
        kind: the dataclass.
        defaults: by field, where they differ from the dataclass's own.
    """
    meanings, hints = _read_docstrings(kind), typing.get_type_hints(kind, include_extras=True)
    flags: list[Flag] = []
    for field in dataclasses.fields(kind):
        hint, mark = hints[field.name], None
        if typing.get_origin(hint) is typing.Annotated:
            hint, mark = typing.get_args(hint)
        if typing.get_origin(hint) in (typing.Union, types.UnionType):  # of a type and None, which nobody types
            hint = typing.get_args(hint)[0]
        names, metavar = [flag(field.name)], _name_value(hint)
        if isinstance(mark, Named):
            names = [mark.name, mark.short] if mark.short else [mark.name]
        elif isinstance(mark, Positional):
            names, metavar = [], mark.metavar
        elif hint is bool:
            names += [f"--no-{names[0][2:]}"]
        default, meaning = (defaults or {}).get(field.name, field.default), meanings.get(field.name, "")
        flags.append(Flag(field.name, tuple(names), metavar, hint, default, meaning))
    return flags


def _build_parser(
    flags: Sequence[Flag], groups: Mapping[str, Sequence[str]] = ALL_IN_ONE, *, brief: bool = False
) -> argparse.ArgumentParser:
    """A parser of the flags, in groups, if brief in the first alone; it also shows positional arguments."""
    width = min(shutil.get_terminal_size().columns, MAX_COLUMNS) - 2
    parser = argparse.ArgumentParser(
        add_help=False,
        allow_abbrev=False,
        exit_on_error=False,
        argument_default=argparse.SUPPRESS,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=27, width=width),
    )
    for one in flags:
        if not one.names:
            group = parser.add_argument_group("arguments")
            group.add_argument(one.field, nargs="*", metavar=one.metavar, help=_escape(one.help))
    first, *others = groups
    titles = {name: title for title, names in groups.items() for name in names}
    rest = next(title for title, names in groups.items() if not names)
    for title in [first] if brief else groups:
        group = parser.add_argument_group(title)
        for one in flags:
            if one.names and titles.get(one.field, rest) == title:
                _add_flag(group, one)
        if title == first:
            text = "show all flags" + "; -h shows these" * bool(others)
            group.add_argument("-h", "--help", action="store_true", help=text)
            group.add_argument("--debug", action="store_true", help="show the traceback of an error")
    if brief and others:
        parser.epilog = f"--help also has the flags of {', '.join(others[:-1])} and {others[-1]}."
    return parser


def _add_flag(group: Any, one: Flag) -> None:
    """Add a flag to a group of argparse."""
    if one.kind is bool:
        for name, action in zip(one.names, ("store_true", "store_false"), strict=True):
            text = _escape(one.help) if name in one.shown_names else argparse.SUPPRESS
            group.add_argument(name, dest=one.field, action=action, help=text)
    else:
        nargs, action = ("*", "extend") if typing.get_origin(one.kind) in (tuple, list) else (1, "store")
        shown: dict[str, Any] = {"metavar": one.metavar, "help": _escape(one.help)}
        group.add_argument(*one.names, dest=one.field, nargs=nargs, action=action, **shown)


def _escape(text: str) -> str:
    return text.replace("%", "%%")  # argparse would fill in what follows


@functools.cache
def _read_docstrings(kind: type) -> dict[str, str]:
    """The docstrings below the fields of a dataclass and of those that it inherits from."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(one):
            continue
        try:
            code = ast.parse(textwrap.dedent(inspect.getsource(one)))
        except OSError:  # it was made when the program ran
            continue
        for field, text in itertools.pairwise(typing.cast(ast.ClassDef, code.body[0]).body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[ast.unparse(field.target)] = " ".join(str(text.value.value).split())
    return found


def read_docstring(kind: type) -> str:
    """The docstring of a dataclass, from its source: `python -OO` drops it, and the signature takes its place."""
    code = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    return ast.get_docstring(typing.cast(ast.ClassDef, code.body[0])) or ""


def _name_value(kind: Any) -> str:
    """What stands for a value of a type in the help."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return f"{{{','.join(map(str, arguments))}}}"
    if origin in (tuple, list):
        return _name_value(arguments[0])
    return METAVARS.get(kind, "TEXT")
