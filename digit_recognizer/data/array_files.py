"""NumPy's own files, written whole and read with suspicion: nothing is unpickled, and no claim is believed unseen."""

import math
import tokenize
import warnings
from pathlib import Path
from typing import IO

import numpy as np

from digit_recognizer.data.csv_header import open_regular_file
from digit_recognizer.errors import InputError
from digit_recognizer.files import write_atomically

HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
# all that NumPy's reading of a damaged header has been seen to raise
HEADER_ERRORS = (ValueError, TypeError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError, OverflowError)


def write_npy(path: Path, array: np.ndarray) -> None:
    """Write numbers to `path` as .npy, atomically.

    NumPy's own `save` goes round Python, and of a full disk it says only how many numbers were written.
    """
    array = np.require(array, requirements="C")
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)


def load_npy(path: Path) -> np.ndarray:
    """Load an .npy file of numbers.

    Raises:
        InputError: naming the file, if it is missing, no plain file, damaged, or holds anything but numbers.
    """
    with open_regular_file(path) as file:
        size_bytes = file.seek(0, 2)
        file.seek(0)
        return read_npy(path, file, size_bytes)


def read_npy(path: Path, file: IO[bytes], size_bytes: int) -> np.ndarray:
    """Read an .npy file, or the member of an .npz, that stands open at its start.

    The header is judged before its claims are believed: `numpy.load` would allocate whatever shape it names.

    Args:
        path: named in the message.
        file: at its start.
        size_bytes: of the file, as found or as its archive says.

    Returns:
        An array of bool, integers, floats or complex numbers; read-only.

    Raises:
        InputError: as `load_npy`.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version not in HEADER_READERS:
            raise ValueError(f"version {version}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python 2's way to write a shape: it is read all the same
            shape, fortran_order, dtype = HEADER_READERS[version](file)
    except HEADER_ERRORS as error:
        raise InputError(f"{path} must be a NumPy array, but its header is none: make or fetch it again.") from error
    shape = tuple(int(length) for length in shape)  # a header may say True
    if dtype.kind not in "biufc":
        raise InputError(f"{path} must hold numbers, but holds {str(dtype)[:40]}: make or fetch it again.")
    expected_bytes = math.prod(shape) * dtype.itemsize
    held_bytes = size_bytes - file.tell()
    if min(shape, default=0) < 0 or expected_bytes != held_bytes:
        raise InputError(
            f"{path} must hold {dtype} of shape {str(shape)[:60]} as its header says, but has {held_bytes} bytes for "
            "them: make or fetch it again."
        )
    content = file.read(expected_bytes)
    if len(content) != expected_bytes:
        raise InputError(f"{path} is cut short after {len(content)} of {expected_bytes} bytes: make or fetch it again.")
    try:
        return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran_order else "C")
    except ValueError as error:  # nothing, in too many dimensions
        raise InputError(f"{path} must hold an array, but of no such shape: make or fetch it again.") from error
