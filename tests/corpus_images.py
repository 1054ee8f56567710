"""Cases of the corpus: idx and npz files given to `download`."""

import gzip
import io
import zipfile
from collections.abc import Callable

import numpy as np
from corpus import THINGS, Case, change_bytes, make_sparse, remove, spoil_with, write
from corpus_runs import claim, pack
from corpus_sources import claim_size, flip, set_flag
from image_sets import pack_idx

IDX = ("download", "idx", "--input-dir", "new")
NPZ = ("download", "npz", "--input-dir", "new")
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
AGAIN = "idx/train-images-idx3-ubyte ‹›: fetch it again."
IDX_FILES: dict[str, tuple[Callable[[], object], str]] = {
    "empty": (
        write(f"idx/{IMAGES}", ""),
        f"idx/{IMAGES} must begin as an idx3 file of bytes does, but begins with nothing: ‹›",
    ),
    "of floats": (change_bytes(f"idx/{IMAGES}", lambda content: b"\0\0\x0d\x03" + content[4:]), AGAIN),
    "of labels": (write(f"idx/{IMAGES}", pack_idx(np.zeros(12, np.uint8))), AGAIN),
    "of the header's half": (change_bytes(f"idx/{IMAGES}", lambda content: content[:9]), AGAIN),
    "a byte short": (change_bytes(f"idx/{IMAGES}", lambda content: content[:-1]), AGAIN),
    "a byte more": (change_bytes(f"idx/{IMAGES}", lambda content: content + b"\0"), AGAIN),
    "of wider images": (
        write(f"idx/{IMAGES}", pack_idx(np.zeros((12, 28, 29), np.uint8))),
        f"idx/{IMAGES} must hold 28 x 28 images, 1000000 at most, but its header says 12 x 28 x 29: it is ‹›",
    ),
    "of four thousand million images": (
        change_bytes(f"idx/{IMAGES}", lambda content: content[:4] + b"\xff" * 4 + content[8:]),
        f"idx/{IMAGES} must hold 28 x 28 images, 1000000 at most, but its header says 4294967295 x 28 x 28: it is ‹›",
    ),
    "of no image": (
        write(f"idx/{IMAGES}", pack_idx(np.zeros((0, 28, 28), np.uint8))),
        f"idx/{IMAGES} must hold uint8 images of shape (n, 28, 28), but holds uint8 (0, 28, 28): it is of another ‹›",
    ),
    "gzip cut": (change_bytes(f"idx/{IMAGES}", lambda content: gzip.compress(content)[:-20]), AGAIN),
    "gzip with a flipped byte": (
        change_bytes(f"idx/{IMAGES}", lambda content: flip(0.5)(gzip.compress(content))),
        AGAIN,
    ),
    "a gzip bomb": (change_bytes(f"idx/{IMAGES}", lambda content: gzip.compress(content + bytes(50_000_000))), AGAIN),
    "gzip in gzip": (change_bytes(f"idx/{IMAGES}", lambda content: gzip.compress(gzip.compress(content))), AGAIN),
    "no images": (lambda: remove(f"idx/{IMAGES}"), "idx holds idx files, but none of the train images: fetch ‹›"),
    "no labels": (lambda: remove(f"idx/{LABELS}"), "idx holds idx files, but none of the train labels: fetch ‹›"),
    "twice": (
        write(f"idx/{IMAGES}.gz", ""),
        f"idx must hold its train images once, but holds {IMAGES} and {IMAGES}.gz: ‹›",
    ),
    "with npz files": (write("idx/train-imgs.npz", ""), "idx must hold one image set, but holds idx and npz files: ‹›"),
    "a label of 10": (
        write(f"idx/{LABELS}", pack_idx(np.arange(12, dtype=np.uint8))),
        f"idx/{LABELS}, row 11: labels must be 0 to 9, but this is 10: the set has other classes.",
    ),
    "a label more": (
        write(f"idx/{LABELS}", pack_idx(np.arange(13, dtype=np.uint8) % 10)),
        f"every image needs one label, but idx/{IMAGES} holds 12 images and {LABELS} 13 labels: fetch both again.",
    ),
    "one class": (
        write(f"idx/{LABELS}", pack_idx(np.full(12, 7, np.uint8))),
        f"idx/{LABELS} must hold two classes at least, but every label is 7.",
    ),
}


def pack_npz(content: bytes, name: str = "arr_0.npy", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr(name, content)
    return packed.getvalue()


def describe(shape: str, dtype: str = "|u1") -> str:
    return f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"


GOOD = pack(np.zeros((12, 28, 28), np.uint8))
NPZ_CONTENTS = {
    "empty": b"",
    "text": b"Not found",
    "a bare npy": GOOD,
    "cut": pack_npz(GOOD)[:-40],
    "with a flipped byte": flip(0.3)(pack_npz(GOOD)),
    "encrypted": set_flag(pack_npz(GOOD)),
    "claiming 4 GB": claim_size(pack_npz(GOOD)),
    "packed by LZMA": pack_npz(GOOD, method=zipfile.ZIP_LZMA),
    "of another name": pack_npz(GOOD, "../arr_0.npy"),
    "of floats": pack_npz(pack(np.zeros((12, 28, 28), np.float32))),
    "flat": pack_npz(pack(np.zeros((12, 784), np.uint8))),
    "of no image": pack_npz(pack(np.zeros((0, 28, 28), np.uint8))),
    "of objects": pack_npz(pack(np.array([{}] * 12, object))),
    "a torn npy": pack_npz(GOOD[:-9]),
    "an npy of a petabyte": pack_npz(claim(describe("(1000000000000, 28, 28)"))),
    "an npy of a bomb's shape": pack_npz(claim(describe("(" + "99999999999, " * 6 + ")"))),
    "an npy of a negative shape": pack_npz(claim(describe("(-1, -8, 8)"))),
    "an npy of many dimensions": pack_npz(claim(describe("(" + "1, " * 25 + "64)"))),
    "an npy without a header": pack_npz(b"\x93NUMPY\x01\0"),
    "an npy of code": pack_npz(claim("__import__('os').mkdir('hacked')")),
    "an npy of another version": pack_npz(GOOD[:6] + b"\x09" + GOOD[7:]),
}
NPZ_FILE = "npz/kmnist-train-imgs.npz"
NPZ_LABELS = "npz/kmnist-train-labels.npz"


CASES = [
    *(Case(f"idx {name}", IDX, spoil, line) for name, (spoil, line) in IDX_FILES.items()),
    *(Case(f"npz {n}", NPZ, write(NPZ_FILE, content), f"{NPZ_FILE} must ‹›") for n, content in NPZ_CONTENTS.items()),
    *(
        Case(f"{path} {name}", command, spoil_with(THINGS[name][0], path), f"{path} must ‹›: ‹›.")
        for path, command in ((f"idx/{IMAGES}", IDX), (NPZ_FILE, NPZ), (NPZ_LABELS, NPZ))
        for name in ("a folder", "a FIFO", "a socket", "/dev/zero", "a looped link", "a link to nothing")
    ),
    Case("idx of a terabyte", IDX, lambda: make_sparse(f"idx/{IMAGES}"), AGAIN),
    Case("npz of a terabyte", NPZ, lambda: make_sparse(NPZ_FILE), f"{NPZ_FILE} must be an .npz of numbers, but ‹›"),
    Case("npz labels of floats", NPZ, write(NPZ_LABELS, pack_npz(pack(np.zeros(12)))), f"{NPZ_LABELS} must hold ‹›"),
]
