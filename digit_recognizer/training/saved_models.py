"""Saved nets (`.keras` archives) of unknown origin, opened so that nothing in them can do harm.

An archive is a program in disguise: its config.json names classes and functions to call, its HDF5 may lead to other
files, and both may ask for any amount of memory. Keras' own `safe_mode` refuses lambdas and foreign modules, but has
been got round several times (CVE-2025-1550, -8747, -9905, -9906) and lets any size below 4 GiB pass. So the archive is
taken apart and checked without Keras, and Keras opens another one, written from what passed.
"""

import io
import json
import re
import stat
import struct
import tempfile
import warnings
import zipfile
import zlib
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from digit_recognizer.errors import InputError
from digit_recognizer.io import read_bytes
from digit_recognizer.models._stored.network import Network, parse_network
from digit_recognizer.models._stored.weights import Weights, parse_weights, write_weights_file

if TYPE_CHECKING:
    import keras

LOWEST_KERAS = (3, 15, 1)  # the version whose loading these checks were written and tried against
CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MOST_BYTES = {CONFIG: 1 << 20, METADATA: 1 << 12, WEIGHTS: 1 << 28}  # the transfer net's have 27 kB, 64 B and 60 MB
MOST_ARCHIVE_BYTES = sum(MOST_BYTES.values()) + (1 << 12)
MOST_DIRECTORY_BYTES = 1 << 12  # of the list of members; three of them take 200
END_OF_DIRECTORY, END_OF_DIRECTORY_64 = b"PK\x05\x06", b"PK\x06\x07"
END_BYTES, END_64_BYTES = 22, 20
ENCRYPTED = 1
UNREADABLE = (  # what zipfile raises of damaged archives
    (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, OverflowError)
    + (RuntimeError, ValueError)  # NotImplementedError is a RuntimeError
)
WAY_OUT = "load what `cv`, `train` or plain Keras saved."


def load_saved_model(path: Path) -> "keras.Model":
    """Open a saved net whose maker may mean harm.

    It must be a functional net of the layers in `models._stored.layers`, with one input, saved by `model.save` without
    an optimizer, as `cv` and `train` do.

    Args:
        path: a `.keras` archive, such as runs/<run>/models/fold0.keras.

    Returns:
        The net, uncompiled.

    Raises:
        InputError: if Keras is older than 3.15.1; if the file is no such archive, is damaged, or holds a layer, a size
            or a part that is not allowed. Keras has then not seen the file.
    """
    _check_keras()
    network, weights = read_archive(path)
    return _build(path, network, weights)


def read_archive(path: Path) -> tuple[Network, Weights]:
    """Take an archive apart and check all that is in it, without Keras.

    Raises:
        InputError: as `load_saved_model`.
    """
    members = _read_members(path)
    _check_metadata(members[METADATA], f"{path}/{METADATA}")
    network = parse_network(members[CONFIG], f"{path}/{CONFIG}")
    weights = parse_weights(members[WEIGHTS], f"{path}/{WEIGHTS}")
    if network.parameters != weights.numbers:
        raise InputError(
            f"{path} must hold a number for each parameter, but its {CONFIG} asks for {network.parameters} and its "
            f"{WEIGHTS} holds {weights.numbers}: {WAY_OUT}"
        )
    return network, weights


def _read_members(path: Path) -> dict[str, bytes]:
    """The archive's three members, each within its bounds."""
    content = read_bytes(path, MOST_ARCHIVE_BYTES)
    _check_directory(path, content)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if sorted(member.filename for member in members) != sorted(MOST_BYTES):
                found = ", ".join(repr(member.filename)[:40] for member in members[:4])
                raise InputError(f"{path} must hold {', '.join(MOST_BYTES)} once each, but holds {found}: {WAY_OUT}")
            return {member.filename: _read_member(path, archive, member) for member in members}
    except InputError:
        raise
    except UNREADABLE as error:
        raise InputError(f"{path} must be a .keras archive, but is damaged ({_one_line(error)}): {WAY_OUT}") from error


def _check_directory(path: Path, content: bytes) -> None:
    """Refuse a list of members too long to be ours before `zipfile` makes an object of each."""
    end = content[-END_BYTES:]
    if len(end) < END_BYTES or not end.startswith(END_OF_DIRECTORY):
        raise InputError(f"{path} must be a .keras archive, whole and without a comment, but is none: {WAY_OUT}")
    size = struct.unpack_from("<I", end, 12)[0]
    before = content[-END_BYTES - END_64_BYTES : -END_BYTES]
    if size > MOST_DIRECTORY_BYTES or before.startswith(END_OF_DIRECTORY_64):
        raise InputError(f"{path} must hold three members, but its list of members has {size} bytes: {WAY_OUT}")


def _read_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    name, most = member.filename, MOST_BYTES[member.filename]
    mode = member.external_attr >> 16
    if member.flag_bits & ENCRYPTED or stat.S_ISLNK(mode):
        kind = "encrypted" if member.flag_bits & ENCRYPTED else "a symbolic link"
        raise InputError(f"{path}/{name} must be a plain member, but is {kind}: {WAY_OUT}")
    if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
        raise InputError(  # what is not packed cannot burst: no ratio needs watching
            f"{path}/{name} must be stored as it is, as Keras does, but is packed ({member.compress_size} bytes for "
            f"{member.file_size}): {WAY_OUT}"
        )
    with archive.open(member) as file:
        content = file.read(most + 1)
    if len(content) > most or len(content) != member.file_size:
        raise InputError(f"{path}/{name} must have {most} bytes at most, but has {member.file_size}: {WAY_OUT}")
    return content


def _check_metadata(content: bytes, name: str) -> None:
    """Keras reads nothing from it, nor do we; that it is JSON at all tells an archive of Keras from others."""
    try:
        found = json.loads(content.decode("utf-8"))
        version = found["keras_version"] if isinstance(found, dict) else None
    except (ValueError, KeyError, RecursionError):
        version = None
    if not isinstance(version, str):
        raise InputError(f"{name} must tell the version of Keras that saved the net, but does not: {WAY_OUT}")


def _check_keras() -> None:
    installed = metadata.version("keras")
    if tuple(int(part) for part in re.findall(r"\d+", installed)[:3]) < LOWEST_KERAS:
        wanted = ".".join(map(str, LOWEST_KERAS))
        raise InputError(
            f"opening a saved net takes Keras {wanted} or later; received {installed}: pip install 'keras>={wanted}'."
        )


def _build(path: Path, network: Network, weights: Weights) -> "keras.Model":
    """Have Keras build the net from an archive of our own."""
    import keras

    with tempfile.TemporaryDirectory(prefix="digit-recognizer-") as folder:
        checked = Path(folder) / "checked.keras"
        try:
            write_weights_file(Path(folder) / WEIGHTS, weights)
            with zipfile.ZipFile(checked, "w") as archive:
                archive.writestr(CONFIG, json.dumps(network.config))
                archive.writestr(METADATA, json.dumps({"keras_version": keras.__version__}))
                archive.write(Path(folder) / WEIGHTS, WEIGHTS)
        except OSError as error:
            raise InputError(
                f"{path} needs room in {tempfile.gettempdir()} to be opened, but {error.strerror or error}: make some, "
                "or name another folder in TMPDIR."
            ) from error
        try:
            with warnings.catch_warnings(action="ignore"):  # what Keras warns of here ends in the error below
                model: keras.Model = keras.saving.load_model(checked, compile=False, safe_mode=True)
        except Exception as error:  # no narrower: what a contradictory net makes Keras raise is anyone's guess
            raise InputError(f"{path} must hold a net that can be built, but {_one_line(error)}: {WAY_OUT}") from error
    return model


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
