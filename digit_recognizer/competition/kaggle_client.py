"""Talking to Kaggle through its own client; every way that can fail becomes one line that says what to do.

Kaggle's package is imported only when it is needed: its releases up to 2.2.3 end the process at import where no
credentials are found. Messages never quote what the client or the server said, since that may hold credentials.
"""

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from digit_recognizer.errors import InputError

# Raised where a file of credentials is no JSON, of another kind than a dictionary, or not UTF-8.
CREDENTIAL_ERRORS = (ValueError, TypeError, KeyError, AttributeError)
COMPETITION = "digit-recognizer"
RULES_PAGE = f"https://www.kaggle.com/competitions/{COMPETITION}/rules"
NO_CREDENTIALS = (
    "Kaggle needs credentials, but none were found that can be read: create a token under "
    "https://www.kaggle.com/settings and save it as ~/.kaggle/access_token or in KAGGLE_API_TOKEN."
)
BAD_CREDENTIALS = (
    "Kaggle's credentials must be as its website gave them, but the file of them is damaged: create a new token under "
    "https://www.kaggle.com/settings and save it as ~/.kaggle/access_token, or remove ~/.kaggle/kaggle.json."
)
STATUS_ADVICE = {
    401: "credentials must be valid, but Kaggle rejects them (401): create a new token under kaggle.com/settings.",
    403: f"the account must have joined the competition, but Kaggle refuses (403): accept its rules at {RULES_PAGE}.",
    404: f"Kaggle must know the competition {COMPETITION}, but finds nothing (404): update the kaggle package.",
    429: "requests must not come too fast, but Kaggle counts too many (429): wait some minutes, then try again.",
}


def load_client() -> Any:
    """Import Kaggle's package and log in with whatever credentials it finds.

    Returns:
        An authenticated `KaggleApi`.

    Raises:
        InputError: if there are no credentials, or Kaggle cannot be asked.
    """
    from requests.exceptions import RequestException

    with explain_kaggle_errors(), contextlib.redirect_stdout(io.StringIO()):  # it prints a screenful of help
        try:
            from kaggle.api.kaggle_api_extended import KaggleApi

            client = KaggleApi()
            client.authenticate()
        except SystemExit as error:
            raise InputError(NO_CREDENTIALS) from error
        except RequestException:  # some of which are ValueErrors too
            raise
        except CREDENTIAL_ERRORS as error:
            raise InputError(BAD_CREDENTIALS) from error
    return client


def download_competition_files(target: Path, client: Any = None) -> Path:
    """Download the competition's files as one zip.

    Args:
        target: the folder to put it in, made if need be.
        client: an authenticated `KaggleApi`; by default one made from the stored credentials.

    Returns:
        The zip's path.

    Raises:
        InputError: one line for each of: no or bad credentials, rules not accepted, too many requests, no network.
    """
    client = client or load_client()
    with explain_kaggle_errors(), contextlib.redirect_stdout(sys.stderr):  # its progress bar's place
        client.competition_download_files(COMPETITION, path=str(target), force=True, quiet=False)
    path = target / f"{COMPETITION}.zip"
    if not path.is_file():
        raise InputError(
            f"Kaggle's client must leave {path.name}, but did not: download it in a browser, then give its path "
            "instead of `kaggle`."
        )
    return path


@contextlib.contextmanager
def explain_kaggle_errors() -> Iterator[None]:
    """Turn the errors of Kaggle's client into one line each.

    Raises:
        InputError: in place of any error of the network or of Kaggle's server.
    """
    from requests.exceptions import HTTPError, RequestException

    try:
        yield
    except HTTPError as error:
        status = None if error.response is None else error.response.status_code
        unknown = f"Kaggle must answer, but reports an error ({status or 'no status'}): try again later."
        raise InputError(STATUS_ADVICE.get(status or 0, unknown)) from None
    except UnicodeError:  # what a request's headers cannot hold: a key that is none
        raise InputError(BAD_CREDENTIALS) from None
    except RequestException as error:
        raise InputError(
            f"Kaggle must be reachable, but is not ({type(error).__name__}): check the network, or download the zip in "
            "a browser and give its path."
        ) from None
