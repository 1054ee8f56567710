"""Credentials: found wherever Kaggle's client looks, and never shown or written."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from kaggle_commands import assert_no_credentials, finish, finish_well
from kaggle_server import KEY, TOKEN, USER

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
    assert "must be reachable" in line


def test_without_credentials_it_is_said_where_to_get_them(command, file, tmp_path):
    code, out, err = finish(command("submit", file, "-m", "x", KAGGLE_USERNAME="", KAGGLE_KEY=""))
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "create a token" in err


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


def test_a_submission_leaves_none(command, file, tmp_path):
    out = finish_well(command("submit", file, "-m", "x"))
    assert_no_credentials(tmp_path, out)
