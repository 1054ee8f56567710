"""The competition's files by Kaggle's own client, from a server that stands for Kaggle."""

from pathlib import Path

import pytest
import requests
from competition_zip import write_competition_zip
from conftest import expect_error
from kaggle_server import KEY

from digit_recognizer import download
from digit_recognizer.competition import client
from digit_recognizer.competition.client import PARTIAL, STATUS_CODES, ask_kaggle, download_competition

INPUT = Path("input")
NAMES = ["sample_submission.csv", "test.csv", "train.csv"]


@pytest.fixture
def small(kaggle, tmp_path, monkeypatch):
    """The server with a zip of few rows, which is all that the competition has then."""
    return shrink(kaggle, tmp_path, monkeypatch, 60, 20)


@pytest.fixture
def middling(kaggle, tmp_path, monkeypatch):
    """The same with as many rows as take several of the client's chunks of 1 MB, even what is left after a half."""
    return shrink(kaggle, tmp_path, monkeypatch, 20_000, 1_000)


def shrink(kaggle, folder, monkeypatch, train_rows, test_rows):
    kaggle.archive = folder / "small.zip"
    write_competition_zip(kaggle.archive, train_rows, test_rows)
    monkeypatch.setattr(client, "TRAIN_ROWS", train_rows)
    monkeypatch.setattr(client, "TEST_ROWS", test_rows)
    return kaggle


def list_names():
    return sorted(path.name for path in INPUT.iterdir()) if INPUT.exists() else None


def read_files():
    return {name: (INPUT / name).read_bytes() for name in NAMES}


def one_line(capsys):
    lines = [line for line in capsys.readouterr().err.splitlines() if "B/s]" not in line and line.strip()]
    assert len(lines) == 1, lines
    assert KEY not in lines[0]
    return lines[0]


def test_the_zip_is_downloaded_unpacked_and_removed(small, capsys):
    assert download.main(["kaggle"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(
        "input now holds train.csv, test.csv, sample_submission.csv from Kaggle: 60 training"
    )
    assert captured.out.splitlines()[1].endswith("-m digit_recognizer.cv --model champion")
    assert list_names() == NAMES


@pytest.mark.parametrize("step", ["DownloadDataFiles", "GET"])
@pytest.mark.parametrize("status", [*STATUS_CODES, 500, 503])
def test_each_refusal_is_one_line_and_leaves_nothing(small, capsys, status, step):
    small.kept[step] = status
    assert download.main(["kaggle"]) == 2
    assert str(status) in one_line(capsys)
    with expect_error(STATUS_CODES.get(status, "kaggle.error"), received=status):
        download.main(["kaggle", "--debug"])
    assert list_names() is None


@pytest.mark.parametrize("fault", ["cut", "stall"])
def test_without_a_network_the_browser_is_named(small, capsys, monkeypatch, fault):
    monkeypatch.setattr(client, "ANSWER_SECONDS", 0.1)
    small.kept["DownloadDataFiles"] = fault
    assert download.main(["kaggle"]) == 2
    assert "in a browser" in one_line(capsys)
    assert list_names() is None


def test_a_connection_that_is_cut_is_resumed(middling):
    middling.orders["GET"] = ["part", "part"]
    assert download.main(["kaggle"]) == 0
    ranges = [body[1] for name, body in middling.requests if name == "GET"]
    assert ranges[0] is None
    assert all(span and span != "bytes=0-" for span in ranges[1:])
    assert list_names() == NAMES


def test_what_was_downloaded_before_the_network_failed_is_kept_and_used(middling, capsys):
    middling.orders["GET"] = ["part"]
    middling.kept["GET"] = "cut"
    assert download.main(["kaggle"]) == 2
    assert one_line(capsys)
    assert list_names() == [PARTIAL]
    middling.kept.clear()
    assert download.main(["kaggle"]) == 0
    assert middling.requests[-1][1][1].startswith("bytes=")
    assert list_names() == NAMES


def test_of_a_zip_that_has_changed_meanwhile_nothing_old_is_used(small, monkeypatch):
    small.orders["GET"] = ["part"]
    small.kept["GET"] = "cut"
    assert download.main(["kaggle"]) == 2
    small.kept.clear()
    small.tag = '"two"'
    write_competition_zip(small.archive, 60, 21)
    monkeypatch.setattr(client, "TEST_ROWS", 21)
    assert download.main(["kaggle"]) == 0
    assert list_names() == NAMES


def test_other_numbers_of_rows_are_refused_and_downloaded_again(small, capsys, monkeypatch):
    monkeypatch.setattr(client, "TEST_ROWS", 28_000)
    assert download.main(["kaggle"]) == 2
    assert one_line(capsys)
    assert list_names() is None


def test_what_is_not_a_zip_is_refused_and_downloaded_again(small, capsys):
    good = small.archive.read_bytes()
    small.archive.write_bytes(b"<html>maintenance</html>")
    assert download.main(["kaggle"]) == 2
    assert one_line(capsys)
    assert list_names() is None
    small.archive.write_bytes(good)
    assert download.main(["kaggle"]) == 0


def test_a_folder_that_was_there_before_stays(small):
    INPUT.mkdir()
    small.kept["DownloadDataFiles"] = 403
    assert download.main(["kaggle"]) == 2
    assert list_names() == []


def test_after_an_interruption_while_unpacking_nothing_is_downloaded_again(small, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(client, "download", interrupt)
        assert download.main(["kaggle"]) == 130
    assert "the same command resumes" in one_line(capsys)
    assert list_names() == [PARTIAL]
    small.archive.write_bytes(b"of the same date, and never read")
    assert download.main(["kaggle"]) == 0
    assert list_names() == NAMES


def interrupt(*_, **__):
    raise KeyboardInterrupt


def test_files_that_differ_are_not_replaced_without_overwrite(small, capsys):
    assert download.main(["kaggle"]) == 0
    before = read_files()
    write_competition_zip(small.archive, 60, 20, first=7)
    assert download.main(["kaggle"]) == 2
    assert "--overwrite" in one_line(capsys)
    assert read_files() == before
    assert list_names() == NAMES
    assert download.main(["kaggle", "--overwrite"]) == 0


def test_a_client_that_leaves_no_file_is_not_believed(monkeypatch):
    class Client:
        def competition_download_files(self, *_, **__):
            """As an older or newer client might."""

    monkeypatch.setattr(client, "load_client", Client)
    with expect_error("kaggle.no_zip"):
        download_competition(INPUT)


@pytest.mark.parametrize("error", [TypeError, KeyError, ValueError, AttributeError, IndexError])
def test_an_answer_that_the_client_cannot_read_is_one_line(error, monkeypatch):
    class Client:
        def competition_download_files(self, *_, **__):
            raise error("secret")

    monkeypatch.setattr(client, "load_client", Client)
    with expect_error("kaggle.unreadable", received=error.__name__) as caught:
        download_competition(INPUT)
    assert "secret" not in str(caught.value)
    assert list_names() is None


def test_a_refusal_without_a_status_is_explained_too():
    with expect_error("kaggle.error", received="no status"), ask_kaggle():
        raise requests.exceptions.HTTPError("somewhat")


NETWORK_ERRORS = [requests.exceptions.ConnectionError, requests.exceptions.ReadTimeout, requests.exceptions.ProxyError]


@pytest.mark.parametrize("error", NETWORK_ERRORS)
def test_no_network_is_one_line_that_quotes_nothing(error):
    with expect_error("kaggle.unreachable") as caught, ask_kaggle():
        raise error("http://user:secret@host")
    assert "secret" not in str(caught.value)
