"""`python -m digit_recognizer.completion SHELL`: what lets a shell complete `digit-recognizer COMMAND --flag VALUE`.

The script holds all words itself: to start Python at every press of the key would take too long.
"""

import sys
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from digit_recognizer.__main__ import COMMANDS, import_command
from digit_recognizer.arguments import Positional, list_flags
from digit_recognizer.cli import RunArguments, command, parse_arguments
from digit_recognizer.console import print_line
from digit_recognizer.models import list_models

ALWAYS = ("--help", "--debug")
SOURCES = ("kaggle", "sample", "mnist", "fashion-mnist", "kmnist")
PRETRAINED = ("ready", "resnet152v2")
SCRIPT = """\
_digit_recognizer() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" name="${{COMP_WORDS[1]}}" flags words
  [[ $COMP_CWORD -gt 1 ]] || name=""
  [[ $name != kernel || $COMP_CWORD -lt 3 ]] || name="kernel ${{COMP_WORDS[2]}}"
  if [[ $before == "=" ]]; then before="${{COMP_WORDS[COMP_CWORD-2]}}"; fi  # bash has three words for --model=narrow
  if [[ $word == "=" ]]; then word=""; fi
  case "$name" in
{flags}
  esac
  case "$name $before" in
{values}
    *) [[ $word != -* || -z $flags ]] || words="$flags" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))  # without words, the shell completes files
}}
complete -o bashdefault -o default -F _digit_recognizer digit-recognizer"""
ZSH = """\
autoload -Uz compinit bashcompinit
(( $+functions[compdef] )) || compinit
bashcompinit
"""


@dataclass(frozen=True)
class CompletionArguments:
    """Print a script that completes commands, flags, models and paths.

    bash: add eval "$(digit-recognizer completion bash)" to ~/.bashrc. zsh: the same with zsh, to ~/.zshrc.
    """

    shell: Annotated[Literal["bash", "zsh"], Positional("SHELL")]
    """bash or zsh."""


@command
def main(arguments: list[str]) -> None:
    """Print the script."""
    chosen = parse_arguments(CompletionArguments, "completion", arguments)
    kernel = import_command("kernel").ARGUMENTS
    flags = [_list_words("", [*COMMANDS, "--help", "--version"], []), _list_words("kernel", [*kernel, "--help"], [])]
    values: list[str] = []
    kinds = {name: find_arguments(name) for name in COMMANDS if name != "kernel"}
    for name, kind in {**kinds, **{f"kernel {action}": kind for action, kind in kernel.items()}}.items():
        known = [one for one in list_flags(kind) if one.names]
        shown = [*(each for one in known for each in one.shown_names), *ALWAYS]
        words = {"download": SOURCES, "transfer": PRETRAINED, "completion": ("bash", "zsh")}.get(name, ())
        if name in ("kernel build", "kernel notebook"):
            words = tuple(list_models())
        takes_words = len(known) < len(list_flags(kind))
        flags.append(_list_words(name, words if takes_words else shown, shown))
        for one in known:
            if one.kind is not bool:
                choices = list_models() if one.names[0] == "--model" else _list_choices(one.kind)
                patterns = "|".join(f'"{name} {each}"' for each in one.names)
                values.append(f'    {patterns}) words="{" ".join(map(str, choices))}" ;;')
    script = SCRIPT.format(flags="\n".join(flags), values="\n".join(values))
    print_line(script if chosen.shell == "bash" else ZSH + script)


def find_arguments(name: str) -> type:
    """The dataclass of a command's arguments; `kernel` has one for each action."""
    if name in ("cv", "train"):
        return RunArguments
    module = import_command(name)
    kinds = (getattr(module, f"{name.title()}{ending}", None) for ending in ("Arguments", "Config"))
    return next(kind for kind in kinds if kind is not None)


def _list_words(name: str, words: Sequence[str], flags: Sequence[str]) -> str:
    return f'    "{name}") words="{" ".join(words)}" flags="{" ".join(flags)}" ;;'


def _list_choices(kind: Any) -> tuple[Any, ...]:
    return typing.get_args(kind) if typing.get_origin(kind) is Literal else ()


if __name__ == "__main__":
    sys.exit(main())
