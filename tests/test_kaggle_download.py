import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
import requests

from digit_recognizer.competition import kaggle_client
from digit_recognizer.competition.kaggle_client import COMPETITION, download_competition_files, load_client
from digit_recognizer.errors import InputError

SECRET = "KGAT_0123456789"


class FakeClient:
    """Stands for an authenticated KaggleApi: writes a file, or raises."""

    def __init__(self, error=None, writes=True):
        self.error, self.writes, self.asked = error, writes, None

    def competition_download_files(self, competition, path=None, force=False, quiet=True):
        self.asked = (competition, force)
        print("Downloading to", path)
        if self.error:
            raise self.error
        if self.writes:
            (Path(path) / f"{competition}.zip").write_bytes(b"zip")


def http_error(status):
    response = requests.Response()
    response.status_code = status
    return requests.exceptions.HTTPError(f"refused for token {SECRET}", response=response)


def refusal(client, folder):
    with pytest.raises(InputError) as caught:
        download_competition_files(folder, client)
    message = str(caught.value)
    assert "\n" not in message
    assert SECRET not in message
    return message


def test_the_zips_path_is_returned(tmp_path):
    client = FakeClient()
    assert download_competition_files(tmp_path, client) == tmp_path / "digit-recognizer.zip"
    assert client.asked == (COMPETITION, True)


def test_the_clients_chatter_stays_off_standard_output(tmp_path, capsys):
    download_competition_files(tmp_path, FakeClient())
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Downloading" in captured.err


ADVICE = {
    401: "create a new token",
    403: "accept its rules",
    404: "update the kaggle package",
    429: "wait some minutes",
    500: "try again later",
    503: "try again later",
}


@pytest.mark.parametrize("status", ADVICE)
def test_each_refusal_says_what_to_do(tmp_path, status):
    message = refusal(FakeClient(http_error(status)), tmp_path)
    assert ADVICE[status] in message
    assert str(status) in message


def test_a_refusal_without_a_status_is_explained_too(tmp_path):
    assert "no status" in refusal(FakeClient(requests.exceptions.HTTPError(SECRET)), tmp_path)


NETWORK_ERRORS = [requests.exceptions.ConnectionError, requests.exceptions.ReadTimeout, requests.exceptions.ProxyError]


@pytest.mark.parametrize("error", NETWORK_ERRORS)
def test_no_network_names_the_way_by_browser(tmp_path, error):
    assert "in a browser" in refusal(FakeClient(error(SECRET)), tmp_path)


def test_a_client_that_leaves_no_file_is_not_believed(tmp_path):
    assert "did not" in refusal(FakeClient(writes=False), tmp_path)


def test_errors_of_our_own_keep_their_traceback(tmp_path):
    with pytest.raises(TypeError):
        download_competition_files(tmp_path, FakeClient(TypeError("a defect")))


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


def test_a_key_that_no_header_can_hold_is_called_damaged(tmp_path):
    error = UnicodeEncodeError("latin-1", SECRET, 0, 1, "ordinal not in range(256)")
    assert "create a new token" in refusal(FakeClient(error), tmp_path)


def test_credentials_that_work_give_a_client(fake_package, tmp_path):
    class KaggleApi(FakeClient):
        def authenticate(self):
            self.ready = True

    fake_package.KaggleApi = KaggleApi
    assert load_client().ready
    assert download_competition_files(tmp_path).is_file()


def test_importing_the_module_does_not_import_kaggle():
    code = f"import sys, {kaggle_client.__name__}; sys.exit('kaggle' in sys.modules or 'requests' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": os.pathsep.join(sys.path)})
