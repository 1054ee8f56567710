"""The competition's files from Kaggle: one zip, whose fetched part outlives an interruption."""

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

from digit_recognizer.competition.kaggle_client import COMPETITION, ask_kaggle, load_client
from digit_recognizer.data.sources import Summary, download
from digit_recognizer.errors import InputError
from digit_recognizer.locks import lock_folder

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
