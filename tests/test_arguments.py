"""What is typed: flags, their help, near names, a file of settings, paths with `~`, completion, a closed pipe."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import expect_error

from digit_recognizer import completion, cv, kernel
from digit_recognizer.__main__ import COMMANDS, import_command
from digit_recognizer.arguments import list_flags, parse_arguments
from digit_recognizer.cli import OutputArguments, RunArguments, load_settings, parse_run_config, print_table
from digit_recognizer.config import RunConfig
from digit_recognizer.console import format_command
from digit_recognizer.data.dataset import load_train
from digit_recognizer.errors import suggest
from digit_recognizer.io import read_toml
from digit_recognizer.sweeps.study import load_study

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("command", "arguments", "code", "place"),
    [
        ("cv", "--epochs three", "value", {"column": "--epochs", "received": "'three'", "expected": "a whole number"}),
        ("cv", "--epochs=2.5", "value", {"column": "--epochs", "received": "'2.5'"}),
        ("cv", "--schedule cosin", "value", {"column": "--schedule", "received": "'cosin'"}),
        ("cv", "--epochs", "incomplete", {"column": "--epochs"}),
        ("cv", "--lr 0.1", "flag_unknown", {"received": "'--lr'", "hint": " Did you mean --learning-rate?"}),
        ("cv", "--moddel=narrow", "flag_unknown", {"received": "'--moddel'", "hint": " Did you mean --model?"}),
        ("cv", "--no-smok", "flag_unknown", {"hint": " Did you mean --no-smoke?"}),
        ("cv", "--qqq", "flag_unknown", {"hint": ""}),
        ("cv", "-help", "flag_unknown", {"received": "'-help'", "hint": " Did you mean --help?"}),
        ("cv", "--debug=1", "flag_unknown", {"received": "'--debug=1'", "hint": " Did you mean --debug?"}),
        ("cv", "--smoke yes", "extra", {"received": "'yes'"}),
        ("cv", "--allow-inexact", "only_resume", {"column": "--allow-inexact"}),
        ("compare", "runs/a", "incomplete", {"column": "RUN RUN", "expected": "2 paths"}),
        ("compare", "", "required", {"column": "RUN RUN"}),
        ("score", "", "required", {"column": "FILE"}),
        ("transfer", "runs/a", "required", {"column": "--images"}),
        ("transfer", "runs/a --image letters", "flag_unknown", {"hint": " Did you mean --images?"}),
        ("examine", "runs/a --row 1 x", "value", {"column": "--row", "received": "'1 x'"}),
        ("cv", "--input-dir=", "value", {"column": "--input-dir", "received": "''"}),
        ("completion", "fish", "value", {"column": "SHELL", "expected": "bash or zsh"}),
    ],
)
def test_a_typing_mistake_is_named_in_our_own_words(command, arguments, code, place):
    with expect_error(f"cli.{code}", **place):
        import_command(command).main([*arguments.split(), "--debug"])


def test_a_list_may_be_given_in_parts():
    arguments = ["--model", "narrow", "--model-args", "dropout=0.3", "--model-args", "kernel_px=4"]
    assert parse_run_config("cv", arguments, "").config.model_args == ("dropout=0.3", "kernel_px=4")


def test_a_study_that_is_not_there_starts_no_worker(monkeypatch):
    module = import_command("sweep")
    monkeypatch.setattr(module, "_run_worker", lambda arguments: 0)
    with expect_error("io.missing", path=Path("nowhere.toml")):
        module.main(["nowhere.toml", "--debug"])


@pytest.mark.parametrize(
    ("word", "known", "nearest"),
    [
        ("champoin", ["champion", "narrow"], "champion"),
        ("random_state", ["seed", "epochs"], "seed"),
        ("submision", ["submit", "submissions"], "submissions"),
        ("batch", ["batch_size", "tta"], "batch_size"),
        ("", ["cv"], ""),
        ("zzz", ["cv"], ""),
    ],
)
def test_the_nearest_name_is_suggested_or_none(word, known, nearest):
    assert suggest(word, known) == (f" Did you mean {nearest}?" if nearest else "")


def show_help(command, flag, capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        command.main([*arguments, flag])
    assert not stop.value.code
    return capsys.readouterr().out


def test_short_help_of_a_run_fits_on_a_screen(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = show_help(cv, "-h", capsys, "--model", "narrow").splitlines()
    assert 24 <= len(lines) <= 40 and max(map(len, lines)) <= 80
    assert "--epochs N" in "\n".join(lines) and "--tta" not in "\n".join(lines)


def test_full_help_of_a_run_has_every_flag_once_in_its_group(capsys):
    text = show_help(cv, "--help", capsys, "--model", "champion")
    assert re.findall(r"^(\w+):$", text, re.MULTILINE) == ["common", "training", "data", "machines", "resuming"]
    shown = re.findall(r"^  (?:-\w, )?(--[a-z-]+)", text, re.MULTILINE)
    assert sorted(shown) == sorted([*(one.names[0] for one in list_flags(RunArguments)), "--help", "--debug"])
    assert "(default: muon)" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_of_every_command_says_what_it_means(name):
    kinds = kernel.ARGUMENTS.values() if name == "kernel" else [completion.find_arguments(name)]
    flags = [one for kind in kinds for one in list_flags(kind)]
    assert not [one.label for one in flags if not one.meaning or "None" in one.help or "(default: on)" in one.help]


SETTINGS = """
model = "narrow"
epochs = 7
batch_size = 32
input_dir = "~/data"
task_cpus = 1

[model_args]
dropout = 0.25
"""


@pytest.fixture
def settings_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(SETTINGS)
    return path


def test_flags_win_over_the_file_and_the_file_over_the_recipe(settings_file):
    config = parse_run_config("cv", ["--config", str(settings_file), "--epochs", "2"], "")
    assert (config.model, config.epochs, config.batch_size, config.task_cpus) == ("narrow", 2, 32, 1)
    assert config.config.model_args == ("dropout=0.25",) and config.optimizer == "muon"
    other = parse_run_config("cv", [f"--config={settings_file}", "--model", "convolutional"], "")
    assert (other.model, other.epochs) == ("convolutional", 7)


def test_flags_may_mend_what_the_file_alone_cannot_say(settings_file):
    settings_file.write_text("small_epochs = 12")
    arguments = ["--model", "champion", "--config", str(settings_file)]
    with expect_error("config.file", path=settings_file):
        parse_run_config("cv", arguments, "")
    settings_file.write_text("epoch = 3")
    with expect_error("config.file", path=settings_file):
        parse_run_config("cv", [*arguments, "--smoke"], "")
    settings_file.write_text("small_epochs = 12")
    config = parse_run_config("cv", [*arguments, "--epochs", "24"], "")
    assert (config.epochs, config.small_epochs) == (24, 12)


def test_smoke_as_a_flag_wins_over_the_file(settings_file):
    config = parse_run_config("cv", ["--config", str(settings_file), "--smoke"], "")
    assert (config.epochs, config.limit_train, config.smoke) == (1, 500, True)


def test_a_runs_own_configuration_starts_another_run(tmp_path):
    first = RunConfig(model="padded", epochs=3, run_dir=tmp_path, submission=tmp_path / "mine.csv")
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"subcommand": "cv", "command": "…", **first.to_json()}))
    assert parse_run_config("cv", ["--config", str(path)], "").config == first.replace(run_dir=None, submission=None)


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        ("epoch = 3", "config.file", "'epoch'. Did you mean epochs?"),
        ('epochs = "three"', "config.file", "a whole number"),
        ("folds = 1", "config.file", "--folds"),
        ("smoke = 1", "config.file", "true or false"),
        ('model = "narow"', "config.file", "Did you mean narrow?"),
        ("task_cpus = 0", "config.file", "--task-cpus"),
        ('model = "narrow', "io.not_toml", "line 1: a quote is not closed"),
    ],
)
def test_a_mistake_in_the_file_names_the_file(tmp_path, content, code, words):
    path = tmp_path / "mine.toml"
    path.write_text(content)
    with expect_error(code, path=path) as caught:
        parse_run_config("cv", ["--config", str(path)], "")
    assert words in str(caught.value)


def test_a_list_is_no_file_of_settings(tmp_path):
    (tmp_path / "list.json").write_text("[1]")
    with expect_error("config.file_is_a_list"):
        load_settings(tmp_path / "list.json")


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        ('a = 1\nb = "x', 2, "a quote is not closed"),
        ('b = "x\na = 1', 1, "a quote is not closed"),
        ("b = 'x\na = 'y'", 1, "a quote is not closed"),
        ("a = 1\n\nb = narrow", 3, "a value is missing, or a text has no quotes"),
        ("a 1", 1, "there is no = after the name"),
        ("a = 1\na = 2", 2, "the name is there twice"),
        ("a = 1 2", 1, "there is something after the value"),
        ("a = [1", 1, "a bracket is not closed"),
        (b"a = 1\nb = '\xff'", 2, "the text is not UTF-8"),
    ],
)
def test_a_mistake_in_toml_has_its_line_and_plain_words(tmp_path, content, line, problem):
    path = tmp_path / "mine.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with expect_error("io.not_toml", path=path, line=line, problem=problem):
        read_toml(path)


def test_a_tilde_is_the_home_folder_in_flags_files_and_python(settings_file, tmp_path, monkeypatch):
    @dataclass(frozen=True)
    class Places:
        """Places."""

        many: tuple[Path, ...] = ()
        one: Path | None = None

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    home = tmp_path / "home"
    parsed = parse_arguments(Places, "cv", ["--many", "~/a", "b~", "--one=~/c"])
    assert parsed.many == (home / "a", Path("b~")) and parsed.one == home / "c"
    assert parse_run_config("cv", ["--config", str(settings_file)], "").input_dir == home / "data"
    assert RunConfig(run_dir=Path("~/run"), weights="~/vgg.h5").weights == str(home / "vgg.h5")
    assert parse_run_config("cv", ["--run-dir=~/run"], "").config.run_dir == home / "run"
    (tmp_path / "study.toml").write_text('title = "T"\ninput_dir = "~/d"\n[[grid]]\nepochs = [1, 2]\n')
    assert load_study(tmp_path / "study.toml").input_dir == home / "d"
    with expect_error("data.missing", path=home / "train.csv"):
        load_train("~/train.csv")
    assert RunConfig(input_dir=Path("~nobody-has-this-name/x")).input_dir == Path("~nobody-has-this-name/x")


def test_bash_completes_commands_flags_models_and_files(tmp_path):
    (tmp_path / "digits.png").touch()
    script = subprocess.run(
        [sys.executable, "-m", "digit_recognizer", "completion", "bash"], capture_output=True, text=True, check=True
    ).stdout
    assert "complete -o bashdefault -o default -F _digit_recognizer digit-recognizer" in script
    cases = {
        "tr": "train transfer",
        "cv --mod": "--model --model-args",
        "cv --model = cham": "champion",
        "download ka": "kaggle",
        'completion ""': "bash zsh",
        "cv --learning": "--learning-rate",
        "cv --model cham": "champion",
        "cv --schedule o": "one-cycle",
        "kernel pu": "push",
        "kernel build --ow": "--owner",
        "kernel build re": "residual resnet resnet9",
        "submit --no": "--no-wait",
        "predict dig": "",  # so that bash itself completes files
        'cv --resume ""': "",
    }
    script += 'ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _digit_recognizer; echo "${COMPREPLY[*]}"; }\n'
    script += "\n".join(f"ask digit-recognizer {words}" for words in cases)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    answered = subprocess.run(["bash"], input=script, capture_output=True, text=True, env={**os.environ, "PATH": path})
    assert dict(zip(cases, answered.stdout.splitlines(), strict=True)) == cases, answered.stderr


@pytest.mark.parametrize(
    ("started_by", "program"), [("python3", "python"), ("python", "python"), ("other/python3", "")]
)
def test_the_next_command_names_the_active_environments_python(started_by, program, tmp_path, monkeypatch):
    for name in ("python", "python3", "other/python3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / started_by))
    assert format_command("report", "runs/a b") == f"{program or sys.executable} -m digit_recognizer.report 'runs/a b'"


def test_usage_brackets_what_may_be_left_out(capsys):
    assert "digit_recognizer.runs [FOLDER] [FLAGS]" in show_help(import_command("runs"), "-h", capsys)
    assert "digit_recognizer.compare RUN RUN [FLAGS]" in show_help(import_command("compare"), "-h", capsys)


PRINTING = """
import sys
from digit_recognizer.cli import command

@command
def main(arguments):
    for number in range(100_000):
        print(number)

sys.exit(main([]))
"""


@pytest.mark.parametrize("arguments", [["-c", PRINTING], ["-m", "digit_recognizer.cv", "--help"]])
def test_nobody_complains_after_head(arguments):
    line = '"$@" | head -1; echo "${PIPESTATUS[0]}"'
    done = subprocess.run(["bash", "-c", line, "bash", sys.executable, *arguments], capture_output=True, text=True)
    assert done.stderr == "" and done.stdout.splitlines()[1] in ("0", "141")


def test_a_table_is_text_json_or_csv(capsys):
    import pandas as pd

    frame = pd.DataFrame(
        {"name": ["a", "=b\x1b"], "rows": [10_000, 9], "accuracy": [0.5, None], "folder": [Path("runs/a"), None]}
    )
    print_table(frame, OutputArguments())
    text = capsys.readouterr().out.splitlines()
    assert text[0].split() == ["name", "rows", "accuracy", "folder"]
    assert "10,000" in text[1] and "0.50000" in text[1] and "\x1b" not in text[2]
    print_table(frame, OutputArguments(json=True))
    assert json.loads(capsys.readouterr().out)[1] == {"name": "=b\x1b", "rows": 9, "accuracy": None, "folder": None}
    print_table(frame, OutputArguments(csv=True))
    assert capsys.readouterr().out.splitlines()[1] == "a,10000,0.5,runs/a"
    with expect_error("cli.two_formats"):
        parse_arguments(OutputArguments, "runs", ["--json", "--csv"])


def test_help_is_the_same_without_docstrings():
    """As python -OO has it, or PYTHONOPTIMIZE=2."""
    command = ["-m", "digit_recognizer.predict", "--help"]
    shown = [
        subprocess.run([sys.executable, *flags, *command], capture_output=True, text=True).stdout
        for flags in ([], ["-OO"])
    ]
    assert shown[0] == shown[1] and "Find and classify the digits" in shown[0]
