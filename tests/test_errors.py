"""The wording of errors: one file, short lines, and every code is used with all that its wording names."""

import ast
import string
from pathlib import Path

import pytest
from conftest import expect_error

from digit_recognizer import errors
from digit_recognizer.errors import InputError, UnusableRunError, load_messages, require, reraise_as_unusable_run

pytestmark = pytest.mark.fast

PACKAGE = Path(errors.__file__).parent
SOURCES = {path: path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}
RAISERS = {"InputError", "WriteError", "LostError", "DivergedError", "UnusableRunError"}
PLACE = {"path", "line", "column", "received"}


def find_calls():
    """Every call of an error's class with a constant code: (file:line, code, names of keywords or None)."""
    for path, text in SOURCES.items():
        for node in ast.walk(ast.parse(text)):
            is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RAISERS
            if is_call and node.args and isinstance(node.args[0], ast.Constant):
                names = {keyword.arg for keyword in node.keywords}
                yield f"{path.name}:{node.lineno}", node.args[0].value, None if None in names else names


CALLS = list(find_calls())


def test_every_code_has_a_wording():
    assert [(place, code) for place, code, _ in CALLS if code not in load_messages()] == []


def test_every_wording_is_used():
    text = "".join(SOURCES.values())
    assert [code for code in load_messages() if f'"{code}"' not in text] == []


def test_every_field_of_a_wording_is_given():
    missing = []
    for place, code, names in CALLS:
        fields = {
            name.split("[")[0].split(".")[0]
            for _, name, _, _ in string.Formatter().parse(load_messages()[code])
            if name
        }
        if names is not None and not fields - PLACE <= names:
            missing.append((place, code, fields - PLACE - names))
    assert missing == []


@pytest.mark.parametrize("code", sorted(load_messages()))
def test_a_wording_is_one_short_line(code):
    text = load_messages()[code]
    assert "\n" not in text and len(text) < 300


def test_an_unknown_model_is_told_without_a_flag():
    assert "--" not in load_messages()["models.unknown"]  # `kernel build MODEL` and Python take it by position


def test_an_error_prints_its_wording_and_remedy():
    error = InputError("csv.pixel_range", path="train.csv", line=7, column="pixel3", received="256")
    assert str(error).startswith("train.csv, line 7, column pixel3: ") and "256" in str(error)
    assert str(error.with_remedy("Then go home.")).endswith("Then go home.")


def test_errors_of_a_runs_own_files_make_it_unusable():
    with pytest.raises(UnusableRunError) as caught, reraise_as_unusable_run():
        raise InputError("run.unfinished", path="runs/a")
    assert caught.value.code == "run.unfinished" and caught.value.path == "runs/a"


def test_errors_travel_between_processes():
    import pickle

    error = InputError("csv.pixel_range", path="train.csv", line=7, column="pixel3", received="256").with_remedy("Now.")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_notebook_shows_the_readers_lines_and_no_others():
    cell = "def build():\n    return 1 / 0\ntry:\n    build()\nexcept ZeroDivisionError as e:\n    fail(e)"

    def fail(cause):
        raise InputError("models.no_model", received="dict") from cause

    fail.__code__ = fail.__code__.replace(co_filename=str(PACKAGE / "models.py"))
    with pytest.raises(InputError) as caught:
        exec(compile(cell, "/tmp/ipykernel_1/2.py", "exec"), {"fail": fail})
    *lines, message = caught.value._render_traceback_()
    assert message == f"InputError: {caught.value}"
    assert [line.split()[1] for line in lines if "# in build" in line] == ["2"]
    assert not any("# in fail" in line for line in lines)


def test_a_package_that_cannot_start_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "broken_at_import.py").write_text("raise ValueError('its configuration\\nis wrong')")
    monkeypatch.syspath_prepend(tmp_path)
    with expect_error("install.broken", package="broken_at_import", reason="ValueError: its configuration is wrong"):
        require("broken_at_import", "report")
