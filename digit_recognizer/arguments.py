"""From a dataclass to a command line: its flags, their help, and messages about what was typed wrong.

tyro parses. It was chosen over jsonargparse because it spells flags with dashes (`--batch-size`) and is imported in
under a tenth of a second. argparse lays out the help: tyro groups flags only if all of a group begin with one prefix
(`--training.epochs`), and its boxes make `cv --help` three screens long before anything can be found in it.
"""

import argparse
import ast
import contextlib
import dataclasses
import functools
import inspect
import io
import itertools
import re
import shutil
import textwrap
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, TypeVar

import tyro

from digit_recognizer.config import describe_type, expand_path, flag
from digit_recognizer.console import print_line
from digit_recognizer.errors import InputError, suggest

Arguments = TypeVar("Arguments")
MOST_COLUMNS = 100
MOST_RECEIVED = 60  # characters of what was typed, in a message
METAVARS = {int: "N", float: "X", Path: "PATH"}


@dataclass(frozen=True)
class Flag:
    """A field of a dataclass, as the command line has it.

    Attributes:
        field: its name.
        names: such as --message and -m; none of an argument that is known by its position.
        metavar: what stands for its value in the help.
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
        """The names that do something: of a switch, those that change its default."""
        if self.kind is not bool:
            return self.names
        *names, off = self.names
        return (off,) if self.default is True else tuple(names)

    @property
    def help(self) -> str:
        """Its meaning and its default."""
        if self.default is MISSING:
            return f"{self.meaning} (required)" if self.names else self.meaning
        if self.kind is bool or self.default in ((), "", None):
            return self.meaning
        shown = " ".join(map(str, self.default)) if isinstance(self.default, tuple) else self.default
        return f"{self.meaning} (default: {shown})"


def parse_arguments(
    kind: type[Arguments],
    subcommand: str,
    arguments: list[str],
    default: Arguments | None = None,
    description: str | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> Arguments:
    """Turn command-line arguments into a typed configuration.

    Args:
        kind: a dataclass; its fields are the flags, the docstrings below them the help.
        subcommand: the command's name.
        arguments: without the program's name.
        default: has the values of flags that are not given.
        description: what the command does, for `--help`; None takes the dataclass's docstring.
        groups: title -> fields, for `--help`; `-h` shows the first group alone. Others are in the one without fields.

    Raises:
        InputError: for an unknown flag or a value of the wrong type.
        SystemExit: with code 0 after `--help`.
    """
    if "-h" in arguments or "--help" in arguments:
        flags = list_flags(kind, default)
        text = description or inspect.cleandoc(kind.__doc__ or "")
        print_line(_format_help(flags, subcommand, text, groups or {"flags": ()}, brief="--help" not in arguments))
        raise SystemExit(0)
    parsed, rest = parse_known_arguments(kind, arguments, default)
    if rest:
        raise _refuse_unknown(list_flags(kind), rest)
    return parsed


def parse_known_arguments(
    kind: type[Arguments], arguments: Sequence[str], default: Arguments | None = None
) -> tuple[Arguments, list[str]]:
    """As `parse_arguments`, but what is unknown is returned, in its order.

    Raises:
        InputError: for a value of the wrong type, or a flag that is missing.
    """
    messages = io.StringIO()
    try:
        with contextlib.redirect_stderr(messages):
            found: tuple[Any, list[str]] = tyro.cli(
                kind,
                args=arguments,
                default=default,
                return_unknown_args=True,
                add_help=False,
                config=(tyro.conf.AvoidSubcommands,),
                registry=_make_registry(),
            )
            return found
    except SystemExit as stop:
        if isinstance(stop.__context__, InputError):  # raised by the dataclass itself
            raise stop.__context__ from None
        raise _explain(list_flags(kind, default), arguments, _first_sentence(messages.getvalue())) from None


@functools.cache
def _make_registry() -> tyro.constructors.ConstructorRegistry:
    """How values are read where tyro does it otherwise: `~` in a path is the home folder, also after `--flag=`."""
    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def read_path(info: tyro.constructors.PrimitiveTypeInfo) -> "tyro.constructors.PrimitiveConstructorSpec | None":
        if info.type is not Path:
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="PATH",
            instance_from_str=lambda texts: expand_path(texts[0]),
            is_instance=lambda value: isinstance(value, Path),
            str_from_instance=lambda path: [str(path)],
        )

    return registry


# ---- flags and their help


def list_flags(kind: type, default: Any = None) -> list[Flag]:
    """The flags of a dataclass, in the order of its fields.

    Args:
        kind: the dataclass; a field that is a dataclass itself stands for its own fields.
        default: an instance that has other defaults; None for the dataclass's own.
    """
    meanings, hints = _read_docstrings(kind), typing.get_type_hints(kind, include_extras=True)
    flags: list[Flag] = []
    for field in dataclasses.fields(kind):
        hint, marks = hints[field.name], list[Any]()
        if typing.get_origin(hint) is typing.Annotated:
            hint, *marks = typing.get_args(hint)
        if dataclasses.is_dataclass(hint):
            flags += list_flags(typing.cast(type, hint))
            continue
        hint = _strip_none(hint)
        settings = next((mark for mark in marks if hasattr(mark, "metavar")), None)  # of tyro.conf.arg
        names = (flag(getattr(settings, "name", None) or field.name), *(getattr(settings, "aliases", None) or ()))
        if hint is bool:
            names += (f"--no-{names[0][2:]}",)
        flags.append(
            Flag(
                field=field.name,
                names=() if tyro.conf.Positional in marks else names,
                metavar=getattr(settings, "metavar", None) or _name_value(hint),
                kind=hint,
                default=_find_default(field, default),
                meaning=meanings.get(field.name, ""),
            )
        )
    return flags


def _format_help(
    flags: Sequence[Flag], subcommand: str, description: str, groups: Mapping[str, Sequence[str]], *, brief: bool
) -> str:
    """The text of `--help`, or of `-h` if brief."""
    positional = [one for one in flags if not one.names]
    names = [one.metavar if one.default is MISSING else f"[{one.metavar}]" for one in positional]
    usage = " ".join([f"python -m digit_recognizer.{subcommand}", *names, "[FLAGS]"])
    width = min(shutil.get_terminal_size().columns, MOST_COLUMNS) - 2
    parser = argparse.ArgumentParser(
        usage=usage.replace("%", "%%"),
        description=description.replace("%", "%%"),
        add_help=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=27, width=width),
    )
    if positional:
        group = parser.add_argument_group("arguments")
        for one in positional:
            group.add_argument(one.field, metavar=one.metavar, help=one.help.replace("%", "%%"))
    first, *others = groups
    titles = {name: title for title, names in groups.items() for name in names}
    rest = next(title for title, names in groups.items() if not names)
    for title in groups:
        if brief and title != first:
            break
        group = parser.add_argument_group(title)
        for one in flags:
            if one.names and titles.get(one.field, rest) == title:
                _add_flag(group, one)
        if title == first:
            group.add_argument(
                "-h", "--help", action="store_true", help="show all flags" + "; -h shows these" * bool(others)
            )
            group.add_argument("--debug", action="store_true", help="show the traceback of an error")
    if brief and others:
        parser.epilog = f"--help also has the flags of {', '.join(others[:-1])} and {others[-1]}."
    return parser.format_help().rstrip()


def _add_flag(group: Any, one: Flag) -> None:
    """Add a flag to a group of argparse."""
    form: dict[str, Any] = {"action": "store_true"} if one.kind is bool else {"metavar": one.metavar}
    group.add_argument(*one.shown_names, help=one.help.replace("%", "%%"), **form)


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


def _find_default(field: "dataclasses.Field[Any]", default: Any) -> Any:
    if default is not None:
        value = getattr(default, field.name)
        return MISSING if value is tyro.MISSING else value
    return field.default if field.default_factory is MISSING else field.default_factory()


def _strip_none(kind: Any) -> Any:
    """A type without None, which no flag takes."""
    if typing.get_origin(kind) not in (typing.Union, types.UnionType):
        return kind
    others = [one for one in typing.get_args(kind) if one is not type(None)]
    return others[0] if len(others) == 1 else kind


def _name_value(kind: Any) -> str:
    """What stands for a value of a type in the help."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return f"{{{','.join(map(str, arguments))}}}"
    if origin in (tuple, list):
        return f"{_name_value(arguments[0])} [...]"
    return METAVARS.get(kind, "TEXT")


# ---- messages


def _refuse_unknown(flags: Sequence[Flag], unknown: Sequence[str]) -> InputError:
    received = next((one for one in unknown if one.startswith("-")), unknown[0])
    if not received.startswith("-"):
        return InputError("cli.extra", received=_shorten(received))
    received = received.partition("=")[0]
    known = [name for one in flags for name in one.names] + ["--help", "--debug"]
    return InputError("cli.flag_unknown", received=_shorten(received), hint=suggest(received, known))


def _explain(flags: Sequence[Flag], arguments: Sequence[str], message: str) -> InputError:
    """What tyro's message says, in our words; in its own where it is of no known form."""
    known = {name for one in flags for name in one.names}
    unknown = [one for one in arguments if one.startswith("--") and _name_flag(one) not in known]
    if unknown and "Missing from" in message:  # it may be what is missing, misspelt
        return _refuse_unknown(flags, unknown)
    places = [(place, one) for one in flags if (place := _find_mention(one, message)) is not None]
    if not places:
        return InputError("cli.arguments", received=message)
    _, one = min(places, key=lambda found: found[0])
    if "Missing from" in message:
        return InputError("cli.required", column=one.label, meaning=one.meaning)
    if "Missing value" in message:
        return InputError("cli.incomplete", column=one.label, expected=describe_type(one.kind))
    received = _shorten(_find_value(one, arguments))
    return InputError("cli.value", column=one.label, expected=describe_type(one.kind), received=received)


def _find_mention(one: Flag, message: str) -> int | None:
    """Where a message names a flag first."""
    names = one.names or (one.metavar, one.field.replace("_", "-"))
    found = [re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", message) for name in names]
    return min((match.start() for match in found if match), default=None)


def _find_value(one: Flag, arguments: Sequence[str]) -> str:
    """What was typed after a flag."""
    for position, argument in enumerate(arguments):
        if _name_flag(argument) in one.names:
            _, equals, value = argument.partition("=")
            values = itertools.takewhile(lambda text: not text.startswith("--"), arguments[position + 1 :])
            several = typing.get_origin(one.kind) in (tuple, list)
            return value if equals else " ".join(values) if several else next(values, "")
    return " ".join(arguments)


def _name_flag(argument: str) -> str:
    return argument.partition("=")[0].replace("_", "-")


def _shorten(text: str) -> str:
    return repr(text if len(text) <= MOST_RECEIVED else f"{text[:MOST_RECEIVED]}…")


def _first_sentence(box: str) -> str:
    """The message inside tyro's box, between its title and its first rule, on one line."""
    lines: list[str] = []
    for line in box.splitlines()[1:]:
        text = line.strip("│ ")
        if set(text) <= set("─-"):  # a rule; without UTF-8 one also stands below the title
            if lines:
                break
            continue
        lines.append(text)
    sentence = re.sub(r"^Error parsing (\w+: )?", "", " ".join(lines))
    return sentence.rstrip(".") + "."
