"""What zip and gzip files from anywhere may do when they are read, and how that is said in one line."""

import contextlib
import errno
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from digit_recognizer.errors import InputError

# What Python's readers raise at damage: NotImplementedError and encryption are RuntimeErrors, bad names and offsets
# ValueErrors.
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OverflowError, struct.error)
DAMAGE_ERRNOS = (None, errno.EINVAL)  # gzip's own errors have none; EINVAL is a seek to before the file's start
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def check_member(path: Path, member: zipfile.ZipInfo, limit_bytes: int) -> None:
    """Refuse a member of a zip that would unpack to too much, or that was packed in a way that nobody here uses.

    Raises:
        InputError: naming the archive and the member.
    """
    if member.file_size > limit_bytes:
        raise InputError(
            f"{path} must unpack to {limit_bytes} bytes at most, but its {shorten_name(member.filename)} has "
            f"{member.file_size}: fetch it again."
        )
    if member.compress_type not in METHODS:
        raise InputError(
            f"{path} must be stored or deflated, but its {shorten_name(member.filename)} is packed by method "
            f"{member.compress_type}: pack it anew."
        )


@contextlib.contextmanager
def explain_damage(rule: str, way_out: str) -> Iterator[None]:
    """Turn whatever the reading of a damaged archive raises into one line; what the disk says of itself stays.

    Args:
        rule: how the line begins, the archive's name in it.
        way_out: how it ends.

    Raises:
        InputError: in place of the reader's error, with its words.
    """
    try:
        yield
    except InputError:
        raise
    except (*DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno not in DAMAGE_ERRNOS:
            raise
        fault = " ".join(str(error).split())[:100] or type(error).__name__
        raise InputError(f"{rule}, but {fault}: {way_out}.") from error


def shorten_name(name: str) -> str:
    """A member's name as it may stand in a one-line message."""
    return repr(name if len(name) <= 40 else name[:40] + "…")
