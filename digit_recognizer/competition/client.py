"""Kaggle through its own client: log in, ask, wait, and download the competition's files.

Whatever fails becomes one line that says what to do. Nothing that the client prints is shown, and nothing that it or
the server said is quoted in an error, because either may hold credentials. Kaggle's package is imported only when it is
needed: its releases up to 2.2.3 end the process at import where no credentials are found.
"""

import contextlib
import io
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from digit_recognizer.console import is_interactive, open_bar
from digit_recognizer.data.sources import describe_network_variables, download
from digit_recognizer.errors import InputError
from digit_recognizer.io import lock_folder, make_folder

COMPETITION = "digit-recognizer"
TRAIN_ROWS, TEST_ROWS = 42_000, 28_000  # of the competition's train.csv and test.csv
PARTIAL = ".kaggle-download"  # in the input folder
BY_BROWSER = "What was downloaded is kept: try again, or download the zip in a browser and name its path, not kaggle."

CONNECT_SECONDS, ANSWER_SECONDS = 10, 60  # Kaggle's client waits for ever; a stalled server must not
RETRIES = 2  # of a connection that fails: the client's own ten take six silent minutes
TOLERATED_ERRORS = 4  # in a row while waiting
# What the client raises at credentials or an answer of another form. Nothing but its calls may stand where these are
# caught.
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
CREDENTIAL_VARIABLES = ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY")  # before any file
VERBOSE_VARIABLES = ("VERBOSE", "VERBOSE_OUTPUT")  # with these the client prints its requests, keys included
STATUS_CODES = {
    400: "kaggle.bad_request",
    401: "kaggle.token_rejected",
    403: "kaggle.rules_not_accepted",
    404: "kaggle.unknown_competition",
    429: "kaggle.too_many_requests",
}
Answer = TypeVar("Answer")


class RefusedError(InputError):
    """Kaggle answered and did nothing: the same request may be sent again without being carried out twice."""


def load_client() -> Any:
    """Import Kaggle's package; returns a `KaggleApi` that is logged in with whatever credentials it finds.

    Raises:
        InputError: if there are no credentials, or Kaggle cannot be reached.
    """
    with ask_kaggle():
        from requests.exceptions import RequestException

        for name in VERBOSE_VARIABLES:
            os.environ.pop(name, None)
        for name in _list_credential_variables():
            # a secret that ends with a newline, or in the quotes of an env file; an empty one is no secret
            os.environ[name] = os.environ[name].strip().strip("\"'")
            if not os.environ[name]:
                del os.environ[name]
        try:
            from kaggle.api.kaggle_api_extended import KaggleApi

            client = KaggleApi()
            client.authenticate()
        except SystemExit as error:
            raise InputError("kaggle.no_credentials") from error
        except RequestException:  # some of these are ValueErrors too
            raise
        except UNREADABLE:
            raise _blame_credentials() from None  # the error may quote them
    return client


def _explain_network(error: Exception) -> InputError:
    return InputError("kaggle.unreachable", received=type(error).__name__, variables=describe_network_variables())


def _list_credential_variables() -> list[str]:
    return [name for name in CREDENTIAL_VARIABLES if name in os.environ]


def _blame_credentials() -> InputError:
    """The error that says which credentials are damaged: those of the variables, which the client reads first."""
    if names := _list_credential_variables():
        return InputError("kaggle.bad_variable", received=" and ".join(names))
    return InputError("kaggle.bad_credentials")


@contextlib.contextmanager
def ask_kaggle(status_codes: Mapping[int, str] = STATUS_CODES, remedy: str = "Then try again.") -> Iterator[None]:
    """Call Kaggle's client within this: nothing waits for ever, nothing is printed, and errors are one line each.

    Args:
        status_codes: the error's code per HTTP status; other statuses get a general one.
        remedy: a sentence for errors after which nobody knows what Kaggle has done.

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
        if status in status_codes:
            refusal = RefusedError(status_codes[status], received=status)
            if status == 401 and (names := _list_credential_variables()):
                refusal.with_remedy(f"The rejected ones are in {' and '.join(names)}.")
            raise refusal from None
        raise InputError("kaggle.error", received=status or "no status").with_remedy(remedy) from None
    except UnicodeError:  # a key with characters that a request's headers cannot hold
        raise _blame_credentials() from None
    except RequestException as error:
        raise _explain_network(error).with_remedy(remedy) from None
    except OSError as error:
        if error.errno is not None:  # of the disk
            raise
        raise _explain_network(error).with_remedy(remedy) from None  # a file of certificates that is not there, say
    except InputError:
        raise
    except UNREADABLE as error:
        raise InputError("kaggle.unreadable", received=type(error).__name__).with_remedy(remedy) from None


def poll(ask: Callable[[], Answer | None], description: str, seconds: float, minutes: float) -> Answer | None:
    """Ask until there is an answer; a few errors in a row are tolerated.

    Args:
        ask: returns None as long as there is no answer.
        description: shown on a terminal, beside the time that has passed.
        seconds: between two attempts.
        minutes: after which to stop.

    Returns:
        The answer; None if it did not come in time.

    Raises:
        InputError: from `ask`, after too many errors in a row.
    """
    started, errors = time.monotonic(), 0
    with open_bar(description, None, delay=0) as bar:
        while time.monotonic() - started <= 60 * minutes:
            try:
                answer, errors = ask(), 0
            except InputError:
                errors += 1
                if errors > TOLERATED_ERRORS:
                    raise
            else:
                if answer is not None:
                    return answer
            bar.refresh()
            time.sleep(seconds)
    return None


@contextlib.contextmanager
def explain_interruption(text: str) -> Iterator[None]:
    """Let Ctrl-C or SIGTERM end with this text, unless it has one already."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise type(stop)(str(stop) or text) from None


def quote(text: Any) -> str:
    """Kaggle's words on a submission or kernel, fit to be shown: one line, without what looks like credentials."""
    line = re.sub(r"(?i)(basic|bearer) \S+", r"\1 …", " ".join(str(text).split()))
    return "".join(character for character in line if character.isprintable())[:300]


def download_competition(input_dir: Path, overwrite: bool = False) -> str:
    """Download the competition's zip and unpack it into `input_dir`; after an interruption, resume.

    The zip, and the mark by which Kaggle's client knows how much of it is there, are kept in a hidden folder of
    `input_dir`. That folder stays when the download or the unpacking is interrupted. It is removed once the files are
    in their places, or after an error in unpacking or installing them, a refused overwrite included.

    Args:
        input_dir: made if need be.
        overwrite: whether existing files that differ may be replaced.

    Returns:
        What `download` says of it.

    Raises:
        InputError: without valid credentials, accepted rules or a network; if the zip has other rows than the
            competition's; if files would be replaced.
    """
    client = load_client()
    folder = input_dir / PARTIAL
    path = folder / f"{COMPETITION}.zip"
    with explain_interruption("what was downloaded is kept: the same command resumes"), make_folder(folder):
        try:
            with lock_folder(folder):
                with ask_kaggle(remedy=BY_BROWSER):
                    client.competition_download_files(
                        COMPETITION, path=str(folder), force=False, quiet=not is_interactive()
                    )
                if not path.is_file():
                    raise InputError("kaggle.no_zip", path=path.name)
                try:
                    summary = download(str(path), input_dir, overwrite, name="Kaggle", rows=(TRAIN_ROWS, TEST_ROWS))
                except Exception:  # not Ctrl-C, after which the zip is needed again
                    path.unlink()
                    raise
                path.unlink()
                return summary
        finally:
            if not path.exists():
                shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _time_limits() -> Iterator[None]:
    """Give a limit to every request that has none.

    requests takes limits per call or by a session's adapter only, and Kaggle's client takes neither from us: it opens
    its sessions inside its calls, and for an upload an adapter of its own. So the class of all adapters is changed for
    as long as the call lasts.
    """
    from requests.adapters import HTTPAdapter

    send = HTTPAdapter.send

    def send_in_time(adapter: Any, request: Any, **options: Any) -> Any:
        if options.get("timeout") is None:
            options["timeout"] = (CONNECT_SECONDS, ANSWER_SECONDS)
        if (adapter.max_retries.total or 0) > RETRIES:
            adapter.max_retries = adapter.max_retries.new(total=RETRIES)
        return send(adapter, request, **options)  # sessions pass all options by name

    with mock.patch.object(HTTPAdapter, "send", send_in_time):
        yield
