import errno
import io
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from conftest import expect_error

import digit_recognizer
from digit_recognizer import cli, cv, train
from digit_recognizer.__main__ import COMMANDS, import_command
from digit_recognizer.__main__ import main as program
from digit_recognizer.cli import command, parse_run_config
from digit_recognizer.errors import InputError, explain_defect, leave_out
from digit_recognizer.models import list_models, load_preset, load_smoke

PACKAGE = Path(digit_recognizer.__file__).parent
COMMAND_MODULES = {
    name: import_command(name)
    for path in [*PACKAGE.glob("*.py"), *PACKAGE.glob("*/__main__.py")]
    if "\n@command\n" in path.read_text() and (name := path.parent.name if path.stem == "__main__" else path.stem)
}


def test_every_command_is_listed():
    assert sorted(COMMANDS) == sorted(COMMAND_MODULES)


def test_a_models_recipe_holds_unless_a_flag_differs():
    preset = load_preset("padded")["learning_rate"]
    assert parse_run_config("cv", ["--model", "padded"], "").learning_rate == preset
    assert parse_run_config("cv", ["--model=padded", "--learning-rate", "0.5"], "").learning_rate == 0.5


def test_smoke_shrinks_a_run_and_yields_to_flags():
    config = parse_run_config("cv", ["--smoke", "--epochs", "2"], "")
    assert (config.limit_train, config.folds, config.epochs) == (500, 2, 2)


@pytest.mark.parametrize("model", list_models())
def test_every_model_has_a_configuration_and_a_smoke_run(model):
    for arguments in (["--model", model], ["--model", model, "--smoke"]):
        assert parse_run_config("cv", arguments, "").model == model


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--epochs", "three"], ["--epochs", "three"]),
        (["--epoch", "3"], ["--epoch"]),
        (["--model", "lenet"], ["baseline", "lenet"]),
        (["--folds", "1"], ["--folds", "1"]),
        (["--schedule", "sometimes"], ["--schedule", "sometimes", "cosine"]),
        (["--input-dir"], ["--input-dir"]),
    ],
)
def test_a_wrong_flag_is_one_line_and_exit_code_2(arguments, words, capsys):
    assert cv.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("cv: ") and captured.err.count("\n") == 1
    assert all(word in captured.err for word in words)


@pytest.mark.parametrize("command", [cv, train])
def test_missing_data_is_named_by_its_file(command):
    with expect_error("data.missing", path="nowhere/train.csv"):
        command.main(["--input-dir", "nowhere", "--debug"])


def test_an_interrupt_is_one_line_and_exit_code_130(monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "parse_run_config", interrupt)
    assert cv.main([]) == 130
    assert capsys.readouterr().err == "cv: interrupted.\n"


def test_what_the_system_forbids_is_one_line(monkeypatch, capsys):
    def forbid(*_):
        raise PermissionError(13, "Permission denied", "some/place")

    monkeypatch.setattr(cli, "parse_run_config", forbid)
    assert cv.main([]) == 2
    assert capsys.readouterr().err.startswith("cv: some/place: Permission denied.")


def test_an_error_of_a_library_that_is_a_text_alone_is_one_line(capsys):
    @command
    def main(arguments):
        raise OSError("validate_socket_filename failed:\n107 bytes")

    assert main([]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "validate_socket_filename failed: 107 bytes" in line


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no folder that a process is in")
def test_a_current_folder_that_was_removed_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert COMMAND_MODULES["runs"].main([]) == 2
    assert capsys.readouterr().err == f"runs: {InputError('cli.no_folder')}\n"


def test_an_error_that_nobody_reads_keeps_its_code(monkeypatch):
    @command
    def main(arguments):
        raise InputError("cli.nul_byte")

    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(sys, "stderr", Closed())
    assert main([]) == 2


def test_an_unknown_backend_is_one_line():
    finished = subprocess.run(
        [sys.executable, "-m", "digit_recognizer.cv"],
        env={**os.environ, "KERAS_BACKEND": "torch"},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 2
    assert "KERAS_BACKEND" in finished.stderr and finished.stderr.count("\n") == 1


def test_a_models_own_smoke_run_comes_before_the_common_one():
    assert parse_run_config("cv", ["--model", "vgg16", "--smoke"], "").limit_train == load_smoke("vgg16")["limit_train"]


def test_debug_brings_the_traceback_back():
    with pytest.raises(InputError):
        cv.main(["--folds", "1", "--debug"])


def test_resume_takes_the_flags_of_machines_alone():
    assert parse_run_config("cv", ["--model", "padded"], "").resume is None
    parsed = parse_run_config("cv", ["--allow-inexact", "--resume=runs/a", "--task-cpus", "2"], "")
    assert (parsed.resume, parsed.allow_inexact, parsed.task_cpus) == (Path("runs/a"), True, 2)
    with expect_error("cli.not_with_resume", column="--epochs"):
        parse_run_config("cv", ["--resume", "runs/a", "--epochs", "9"], "")
    with expect_error("cli.flag_unknown", hint=" Did you mean --allow-inexact?"):
        parse_run_config("cv", ["--resume", "runs/a", "--alow-inexact"], "")


@pytest.mark.parametrize(
    ("sent", "code", "line"),
    [
        (signal.SIGINT, 130, "test_cli: interrupted; resume with: that\n"),
        (signal.SIGTERM, 143, "test_cli: terminated; resume with: that\n"),
        (signal.SIGHUP, 143, "test_cli: terminated; resume with: that\n"),  # the terminal was closed
    ],
)
def test_signals_end_a_command_in_one_line_with_the_shells_exit_code(sent, code, line, capsys):
    @command
    def main(arguments):
        try:
            os.kill(os.getpid(), sent)
            time.sleep(10)
        except KeyboardInterrupt as stop:
            raise type(stop)("resume with: that") from None

    # a background job's processes ignore Ctrl-C, and so may this one
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.getsignal(signal.SIGTERM)
    assert main([]) == code
    assert capsys.readouterr().err == line
    assert signal.getsignal(signal.SIGTERM) is before
    signal.signal(signal.SIGINT, ignored)


def test_control_characters_never_reach_the_screen(capsys):
    @command
    def main(arguments):
        raise InputError("io.missing", path="run\x1b[2J\n\udcff\r.csv")

    assert main([]) == 2
    assert capsys.readouterr().err.startswith("test_cli: run\\x1b[2J\\n\\udcff\\r.csv ")


def test_the_program_passes_its_arguments_to_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["digit-recognizer", "cv", "--folds", "1"])
    assert program() == 2
    assert capsys.readouterr().err.startswith("cv: --folds")
    monkeypatch.setattr(sys, "argv", ["digit-recognizer", "fly"])
    assert program() == 2
    assert "fly" in capsys.readouterr().err


def test_help_answers_without_heavy_imports():
    heavy = [
        "keras",
        "tensorflow",
        "jax",
        "pandas",
        "pyarrow",
        "sklearn",
        "albumentations",
        "matplotlib",
        "kaggle",
        "cv2",
        "mlflow",
        "tensorboard",
    ]
    script = (
        "import sys\n"
        "from digit_recognizer.__main__ import import_command\n"
        f"for subcommand in {list(COMMANDS)}:\n"
        "    try:\n"
        "        import_command(subcommand).main(['--help'])\n"
        "    except SystemExit as stop:\n"
        "        assert not stop.code, stop.code\n"
        f"    loaded = [name for name in {heavy} if name in sys.modules]\n"
        "    assert not loaded, (subcommand, loaded)\n"
    )
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert finished.returncode == 0, finished.stderr
    assert all("usage: python -m digit_recognizer." + subcommand in finished.stdout for subcommand in COMMANDS)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a file that is always full")
def test_output_that_cannot_be_written_is_told_and_counted(tmp_path):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-m", "digit_recognizer.models"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1


def test_an_unforeseen_error_is_counted_and_its_traceback_shown_for_debug_alone(capsys):
    @command
    def main(arguments):
        explain_defect(IndexError("nobody foresaw that"), "a.png")

    assert main([]) == 1 and capsys.readouterr().err == ""
    assert main(["--debug"]) == 1 and "IndexError: nobody foresaw that" in capsys.readouterr().err


def test_what_was_left_out_counts_in_the_exit_code(capsys):
    @command
    def main(arguments):
        for name in ("a.png", "b.png", "a.png"):
            print(leave_out(InputError("photos.empty", path=name)))

    assert main([]) == 2
    done = capsys.readouterr()
    assert done.out.count("left out: ") == 3 and " 2 " in done.err and done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError("Unable to allocate 9 GiB"), 2),
        (ImportError("libGL.so.1: cannot open shared object file", name="cv2", path="/x/cv2.abi3.so"), 2),
        (ImportError("cannot import name", name="mine", path="/x/mine.py"), None),
        (ModuleNotFoundError("No module named 'mine'", name="mine"), None),
    ],
)
def test_an_error_of_the_machine_is_one_line_and_one_of_the_code_is_not(error, code, capsys):
    @command
    def main(arguments):
        raise error

    if code is None:
        with pytest.raises(ImportError):
            main([])
    else:
        assert main([]) == code and capsys.readouterr().err.count("\n") == 1


def test_a_warning_is_no_error_of_a_command_whatever_pythonwarnings_says(monkeypatch, recwarn):
    @command
    def main(arguments):
        warnings.warn("of a library", DeprecationWarning, stacklevel=1)

    warnings.simplefilter("error")
    monkeypatch.setattr(sys, "warnoptions", ["error"])
    assert main([]) == 0
    with pytest.raises(DeprecationWarning):
        warnings.warn("of a notebook", DeprecationWarning, stacklevel=1)
