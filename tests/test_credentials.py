"""Credentials: found wherever Kaggle's client looks, explained if damaged, and never shown or written."""

import errno
import json
import os
import subprocess
import sys
import types
from datetime import UTC, datetime, timedelta

import pytest
from conftest import expect_error
from kaggle_commands import assert_no_credentials, finish, finish_well
from kaggle_server import KEY, TOKEN, USER

from digit_recognizer.competition import client
from digit_recognizer.competition.client import load_client

API_KEY = json.dumps({"username": USER, "key": KEY})
OAUTH = json.dumps(
    {
        "refresh_token": TOKEN,
        "access_token": TOKEN,
        "access_token_expiration": (datetime.now(UTC) + timedelta(hours=12)).isoformat(),
        "username": USER,
    }
)
# a place: the file and its content, the variables
PLACES = {
    "a token in the environment": (None, {"KAGGLE_API_TOKEN": TOKEN}),
    "a token's file, named in the environment": (("elsewhere/token", TOKEN), {"KAGGLE_API_TOKEN": "elsewhere/token"}),
    "access_token": (("home/.kaggle/access_token", TOKEN), {}),
    "a key in the environment": (None, {"KAGGLE_USERNAME": USER, "KAGGLE_KEY": KEY}),
    "kaggle.json": (("home/.kaggle/kaggle.json", API_KEY), {}),
    "kaggle.json in KAGGLE_CONFIG_DIR": (("elsewhere/kaggle.json", API_KEY), {"KAGGLE_CONFIG_DIR": "elsewhere"}),
    "kaggle.json in XDG_CONFIG_HOME": (("xdg/kaggle/kaggle.json", API_KEY), {"XDG_CONFIG_HOME": "xdg"}),
    "OAuth": (("home/.kaggle/credentials.json", OAUTH), {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_credentials_are_found_in_every_place_of_the_client_and_shown_in_none(command, file, tmp_path, place):
    stored, variables = PLACES[place]
    home = tmp_path / ("empty" if "xdg" in str(stored) else "home")  # a .kaggle at home goes before XDG's folder
    home.mkdir(exist_ok=True)
    if stored:
        (tmp_path / stored[0]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / stored[0]).write_text(stored[1])
    none = {"KAGGLE_USERNAME": "", "KAGGLE_KEY": ""}
    code, out, err = finish(command("submit", file, "-m", "x", "--dry-run", **{**none, "HOME": str(home), **variables}))
    assert code == 0, err
    assert "submissions are left today" in out
    assert_no_credentials(tmp_path, out, err)


def test_a_service_that_is_down_is_not_taken_for_damaged_credentials(service, command, file):
    service.kept["IntrospectToken"] = b"<html>maintenance</html>"
    code, _, err = finish(command("submit", file, "-m", "x", KAGGLE_API_TOKEN=TOKEN))
    assert code == 2
    (line,) = err.splitlines()
    assert "credentials" not in line


def test_without_credentials_one_line_says_where_to_get_them(command, file, tmp_path):
    code, out, err = finish(command("submit", file, "-m", "x", KAGGLE_USERNAME="", KAGGLE_KEY=""))
    assert code == 2 and [line.split(":")[0] for line in out.splitlines()] == ["note"]  # of unknown origin
    assert len(err.splitlines()) == 1
    assert "token" in err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["VERBOSE", "VERBOSE_OUTPUT"])
@pytest.mark.parametrize("arguments", [("download", "kaggle"), ("submit", "mine.csv", "-m", "x")])
def test_a_talkative_environment_and_a_server_that_repeats_them_show_nothing(
    service, command, file, tmp_path, arguments, name
):
    service.kept["StartSubmissionUpload"] = 403  # whose answer repeats the request's authorization
    _, out, err = finish(command(*arguments, **{name: "true"}))
    assert_no_credentials(tmp_path, out, err)
    assert "Basic" not in out + err
    assert "DEBUG" not in err


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--debug"]])
@pytest.mark.parametrize("arguments", [("submit", "mine.csv", "-m", "x"), ("kernel", "push", "kernels/padded")])
def test_a_damaged_token_is_not_quoted(command, file, tmp_path, arguments, flags):
    finish_well(command("kernel", "build", "padded"))
    (tmp_path / "home/.kaggle/credentials.json").write_text(OAUTH.replace(TOKEN, f"{TOKEN}\\nx"))
    none = {"KAGGLE_USERNAME": "", "KAGGLE_KEY": ""}
    code, out, err = finish(command(*arguments, *flags, **none))
    assert code != 0
    assert TOKEN not in out + err


def test_what_kaggle_says_is_shown_without_credentials(service, command, file, tmp_path):
    service.error = f"refused Basic {KEY} and Bearer {TOKEN}"
    code, out, err = finish(command("submit", file, "-m", "x"))
    assert code == 2
    assert_no_credentials(tmp_path, out, err)


# ---- logging in


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
    with expect_error("kaggle.no_credentials"):
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
    with expect_error("kaggle.no_credentials"):
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
    assert all(line.startswith("download: Kaggle") and "create a" in line.lower() for line in lines)


def test_a_key_that_no_header_can_hold_is_damaged():
    with expect_error("kaggle.bad_credentials"), client.ask_kaggle():
        raise UnicodeEncodeError("latin-1", "secret", 0, 1, "ordinal not in range(256)")


def test_credentials_that_work_give_a_client(fake_package):
    class KaggleApi:
        def authenticate(self):
            self.ready = True

    fake_package.KaggleApi = KaggleApi
    assert load_client().ready


@pytest.mark.parametrize("text", [f"{TOKEN}\n", f' "{TOKEN}"\r\n'])
def test_a_secret_with_a_newline_or_in_quotes_works(fake_package, monkeypatch, text):
    class KaggleApi:
        def authenticate(self):
            self.found = [os.environ.get(name) for name in ("KAGGLE_API_TOKEN", "KAGGLE_KEY")]

    fake_package.KaggleApi = KaggleApi
    monkeypatch.setenv("KAGGLE_API_TOKEN", text)
    monkeypatch.setenv("KAGGLE_KEY", " \n")
    assert load_client().found == [TOKEN, None]


def test_a_damaged_or_rejected_variable_is_blamed_and_no_file(fake_package, monkeypatch):
    class KaggleApi:
        def authenticate(self):
            raise ValueError("invalid header")

    fake_package.KaggleApi = KaggleApi
    monkeypatch.setenv("KAGGLE_API_TOKEN", "a\nb")
    with expect_error("kaggle.bad_variable", received="KAGGLE_API_TOKEN"):
        load_client()


def test_missing_certificates_are_a_network_that_is_down_and_a_full_disk_is_not(monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent/cacert.pem")
    with expect_error("kaggle.unreachable") as caught, client.ask_kaggle():
        raise OSError("Could not find a suitable TLS CA certificate bundle, invalid path: /nonexistent/cacert.pem")
    assert "REQUESTS_CA_BUNDLE" in caught.value.details["variables"]
    with pytest.raises(OSError, match="full"), client.ask_kaggle():
        raise OSError(errno.ENOSPC, "full")


def test_importing_the_module_does_not_import_kaggle():
    code = f"import sys, {client.__name__}; sys.exit('kaggle' in sys.modules or 'requests' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": os.pathsep.join(sys.path)})
