"""The competition's files from Kaggle: one zip, whose fetched part outlives an interruption."""

import contextlib
import io
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from digit_recognizer.data.sources import Summary, download
from digit_recognizer.errors import InputError
from digit_recognizer.io import lock_folder

# Talking to Kaggle through its own client; every way that can fail becomes one line that says what to do.
#
# Kaggle's package is imported only when it is needed: its releases up to 2.2.3 end the process at import where no
# credentials are found. Nothing that it prints is shown, and nothing that it or the server said is quoted in an error:
# either may hold credentials.

# Raised where a file of credentials is no JSON, of another kind than a dictionary, or not UTF-8.
CREDENTIAL_ERRORS = (ValueError, TypeError, KeyError, AttributeError)
# What the client raises at an answer of another form; nothing but its calls may stand where these are caught.
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
COMPETITION = "digit-recognizer"
RULES_PAGE = f"https://www.kaggle.com/competitions/{COMPETITION}/rules"
CONNECT_SECONDS, ANSWER_SECONDS = 10, 60  # Kaggle's client waits for ever; a stalled server must not
RETRIES = 2  # of a connection that fails: the client's own ten take six minutes without a word
TALKATIVE = (
    "VERBOSE",
    "VERBOSE_OUTPUT",
)  # set by whatever else, they make the client print its requests, keys included
NO_CREDENTIALS = (
    "Kaggle needs credentials, but none were found that can be read: create a token under "
    "https://www.kaggle.com/settings and save it as ~/.kaggle/access_token or in KAGGLE_API_TOKEN."
)
BAD_CREDENTIALS = (
    "Kaggle's credentials must be as its website gave them, but the file of them is damaged: remove it (access_token, "
    "kaggle.json or credentials.json in ~/.kaggle), create a token under https://www.kaggle.com/settings and save it "
    "as ~/.kaggle/access_token."
)
STATUS_ADVICE = {
    400: "what is sent must be as Kaggle wants it, but it refuses (400): look at the competition's page for news.",
    401: "credentials must be valid, but Kaggle rejects them (401): create a new token under kaggle.com/settings.",
    403: f"the account must have joined the competition, but Kaggle refuses (403): accept its rules at {RULES_PAGE}.",
    404: f"Kaggle must know the competition {COMPETITION}, but finds nothing (404): update the kaggle package.",
    429: "requests must not come too fast, but Kaggle counts too many (429): wait some minutes, then try again.",
}


class RefusedError(InputError):
    """Kaggle has answered, and done nothing: what was asked can be asked again without being done twice."""


def load_client() -> Any:
    """Import Kaggle's package and log in with whatever credentials it finds.

    Returns:
        An authenticated `KaggleApi`.

    Raises:
        InputError: if there are no credentials, or Kaggle cannot be asked.
    """
    with ask_kaggle():
        try:
            with _hushed_environment():
                from kaggle.api.kaggle_api_extended import KaggleApi

            client = KaggleApi()
            client.authenticate()
        except SystemExit as error:
            raise InputError(NO_CREDENTIALS) from error
        except CREDENTIAL_ERRORS as error:
            if _is_of_requests(error):  # some of which are ValueErrors too
                raise
            raise InputError(BAD_CREDENTIALS) from None  # what was wrong with them may quote them
    return client


@contextlib.contextmanager
def ask_kaggle(advice: Mapping[int, str] = STATUS_ADVICE, way_out: str = "try again") -> Iterator[None]:
    """Call Kaggle's client within this: nothing waits for ever, nothing is printed, and errors are one line each.

    Args:
        advice: a line per HTTP status; other statuses get a general one.
        way_out: what to do when the network fails.

    Raises:
        RefusedError: if Kaggle answers that it will not.
        InputError: for any other error of the network or of Kaggle's server.
    """
    from requests.exceptions import HTTPError, RequestException

    try:
        with _time_limits(), contextlib.redirect_stdout(io.StringIO()):
            yield
    except HTTPError as error:
        status = 0 if error.response is None else error.response.status_code
        unknown = (
            f"Kaggle must answer, but reports an error ({status or 'no status'}): wait some minutes and {way_out}."
        )
        kind = RefusedError if status in STATUS_ADVICE else InputError  # others may come after the deed
        raise kind(advice.get(status, unknown)) from None
    except UnicodeError:  # what a request's headers cannot hold: a key that is none
        raise InputError(BAD_CREDENTIALS) from None
    except RequestException as error:
        raise InputError(
            f"Kaggle must be reachable, but is not ({type(error).__name__}): check the network and {way_out}."
        ) from None
    except InputError:
        raise
    except UNREADABLE as error:
        raise InputError(
            f"Kaggle's answer must be as its client knows it, but is not ({type(error).__name__}): update the kaggle "
            f"package and {way_out}."
        ) from None


def quote(text: Any) -> str:
    """What Kaggle says of a submission or kernel, as it may be shown: one line, without what looks like credentials."""
    line = re.sub(r"(?i)(basic|bearer) \S+", r"\1 …", " ".join(str(text).split()))
    return "".join(mark for mark in line if mark.isprintable())[:300]


@contextlib.contextmanager
def _hushed_environment() -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in TALKATIVE if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


@contextlib.contextmanager
def _time_limits() -> Iterator[None]:
    """Give a limit to every request that has none; requests takes one per call only, and the client passes none."""
    from requests.adapters import HTTPAdapter

    send = HTTPAdapter.send

    def send_in_time(adapter: Any, request: Any, *arguments: Any, **options: Any) -> Any:
        if not arguments and options.get("timeout") is None:
            options["timeout"] = (CONNECT_SECONDS, ANSWER_SECONDS)
        if (adapter.max_retries.total or 0) > RETRIES:
            adapter.max_retries = adapter.max_retries.new(total=RETRIES)
        return send(adapter, request, *arguments, **options)

    HTTPAdapter.send = send_in_time  # type: ignore[method-assign, assignment]  # put back below
    try:
        yield
    finally:
        HTTPAdapter.send = send  # type: ignore[method-assign]  # as it was


def _is_of_requests(error: Exception) -> bool:
    from requests.exceptions import RequestException

    return isinstance(error, RequestException)


TRAIN_ROWS, TEST_ROWS = 42_000, 28_000  # of the competition's train.csv and test.csv
PARTIAL = ".kaggle-download"  # in the input folder
BY_BROWSER = "try again: what was fetched is kept. Or download the zip in a browser and give its path"


def download_competition(input_dir: Path, overwrite: bool = False, client: Any = None) -> Summary:
    """Fetch the competition's zip and bring its files into `input_dir`; after an interruption go on where it stopped.

    The zip, and what tells Kaggle's client how far it is, wait in a hidden folder of `input_dir`. That folder stays
    when fetching is interrupted; it goes once the files are in their places, or the zip has been found unusable.

    Args:
        input_dir: made if need be.
        overwrite: whether existing files that differ may be replaced.
        client: an authenticated `KaggleApi`; by default one made from the stored credentials.

    Raises:
        InputError: one line for each of: no or bad credentials, rules not accepted, too many requests, no network, a
            zip with other rows than the competition's, files that would be replaced.
    """
    client = client or load_client()
    folder = input_dir / PARTIAL
    made = [parent for parent in (folder, *folder.parents) if not os.path.lexists(parent)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--input-dir takes a folder to write in; {input_dir}: {error.strerror}.") from error
    path, keep = folder / f"{COMPETITION}.zip", False
    try:
        with lock_folder(folder):
            _fetch(client, path)
            try:
                return download(str(path), input_dir, overwrite, name="Kaggle", rows=(TRAIN_ROWS, TEST_ROWS))
            except KeyboardInterrupt:  # the zip is whole, and will be wanted again
                keep = True
                raise
            finally:
                if not keep:
                    path.unlink(missing_ok=True)
    finally:
        if not path.exists():
            shutil.rmtree(folder, ignore_errors=True)
            for parent in made:
                with contextlib.suppress(OSError):  # gone already, or somebody's files are in it by now
                    parent.rmdir()


def _fetch(client: Any, path: Path) -> None:
    try:
        with ask_kaggle(way_out=BY_BROWSER):
            client.competition_download_files(COMPETITION, path=str(path.parent), force=False, quiet=False)
    except KeyboardInterrupt as stop:
        kept = path.exists() and path.stat().st_size > 0
        raise type(stop)("what was fetched is kept: the same command goes on" if kept else "") from None
    if not path.is_file():
        raise InputError(
            f"Kaggle's client must leave {path.name}, but did not: download it in a browser, then give its path "
            "instead of `kaggle`."
        )
