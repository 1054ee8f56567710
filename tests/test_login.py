"""Logging in to Kaggle: what is found, what is damaged, what is missing."""

import os
import subprocess
import sys
import types

import pytest

from digit_recognizer.competition import client as kaggle_client
from digit_recognizer.competition.client import load_client
from digit_recognizer.errors import InputError


@pytest.fixture
def fake_package(monkeypatch):
    """Puts a stand-in for the kaggle package in place; returns its module, to which tests give a KaggleApi."""
    module = types.ModuleType("kaggle.api.kaggle_api_extended")
    for name in ("kaggle", "kaggle.api"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def test_missing_credentials_are_explained_instead_of_ending_the_process(fake_package, capsys):
    class KaggleApi:
        def authenticate(self):
            print("a screenful of help")
            sys.exit(1)

    fake_package.KaggleApi = KaggleApi
    with pytest.raises(InputError, match="create a token"):
        load_client()
    assert capsys.readouterr().out == ""


def test_a_package_that_exits_at_import_is_survived(monkeypatch):
    """As kaggle up to 2.2.3 does without credentials."""

    class ExitAtImport:
        def find_spec(self, name, path=None, target=None):
            if name == "kaggle":
                sys.exit(1)

    for name in [name for name in sys.modules if name.split(".")[0] == "kaggle"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [ExitAtImport(), *sys.meta_path])
    with pytest.raises(InputError, match="create a token"):
        load_client()


DAMAGED_CREDENTIALS = {
    "kaggle.json": ["{", "[]", "5", "\\xff"],
    "credentials.json": ["{", "[]", '{"refresh_token": 5}'],
}


@pytest.mark.parametrize("name", DAMAGED_CREDENTIALS)
def test_a_damaged_file_of_credentials_is_one_line_and_makes_no_folder(name, tmp_path):
    """With Kaggle's own package, in a process of its own: it looks for credentials when it is imported."""
    (tmp_path / ".kaggle").mkdir()
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from digit_recognizer import download\n"
        "for text in sys.argv[2:]:\n"
        "    Path(sys.argv[1]).write_text(text)\n"
        "    print(download.main(['kaggle', '--input-dir', 'new']), Path('new').exists())\n"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KAGGLE")}
    finished = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / ".kaggle" / name), *DAMAGED_CREDENTIALS[name]],
        env={**kept, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    lines = finished.stderr.splitlines()
    assert finished.stdout.splitlines() == ["2 False"] * len(DAMAGED_CREDENTIALS[name]), finished.stderr
    assert len(lines) == len(DAMAGED_CREDENTIALS[name])
    assert all(line.startswith("download: Kaggle") and "create a" in line for line in lines)


def test_a_key_that_no_header_can_hold_is_called_damaged():
    with pytest.raises(InputError, match="create a token"), kaggle_client.ask_kaggle():
        raise UnicodeEncodeError("latin-1", "secret", 0, 1, "ordinal not in range(256)")


def test_credentials_that_work_give_a_client(fake_package):
    class KaggleApi:
        def authenticate(self):
            self.ready = True

    fake_package.KaggleApi = KaggleApi
    assert load_client().ready


def test_importing_the_module_does_not_import_kaggle():
    code = f"import sys, {kaggle_client.__name__}; sys.exit('kaggle' in sys.modules or 'requests' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": os.pathsep.join(sys.path)})
