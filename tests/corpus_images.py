"""Cases of the corpus: idx and npz files given to `download`."""

import gzip
import io
import zipfile
from collections.abc import Callable

import numpy as np
from corpus import THINGS, Case, Expected, change_bytes, expect, make_sparse, remove, spoil_with, write
from corpus_runs import claim, pack
from corpus_sources import claim_size, flip, set_flag
from image_sets import pack_idx

IDX = ("download", "idx", "--input-dir", "new")
NPZ = ("download", "npz", "--input-dir", "new")
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
IMAGES_FILE, LABELS_FILE = f"idx/{IMAGES}", f"idx/{LABELS}"
DAMAGED = expect("data.damaged", path=IMAGES_FILE)
IDX_FILES: dict[str, tuple[Callable[[], object], Expected]] = {
    "empty": (write(IMAGES_FILE, ""), DAMAGED),
    "of floats": (change_bytes(IMAGES_FILE, lambda content: b"\0\0\x0d\x03" + content[4:]), DAMAGED),
    "of labels": (
        write(IMAGES_FILE, pack_idx(np.zeros(12, np.uint8))),
        expect("data.other_array", path=IMAGES_FILE, received="uint8 (12,)"),
    ),
    "of the header's half": (change_bytes(IMAGES_FILE, lambda content: content[:9]), DAMAGED),
    "a byte short": (change_bytes(IMAGES_FILE, lambda content: content[:-1]), DAMAGED),
    "a byte more": (change_bytes(IMAGES_FILE, lambda content: content + b"\0"), DAMAGED),
    "of wider images": (
        write(IMAGES_FILE, pack_idx(np.zeros((12, 28, 29), np.uint8))),
        expect("data.other_array", path=IMAGES_FILE, received="uint8 (12, 28, 29)"),
    ),
    "of four thousand million images": (
        change_bytes(IMAGES_FILE, lambda content: content[:4] + b"\xff" * 4 + content[8:]),
        expect("data.other_array", path=IMAGES_FILE, received="uint8 (4294967295, 28, 28)"),
    ),
    "of no image": (
        write(IMAGES_FILE, pack_idx(np.zeros((0, 28, 28), np.uint8))),
        expect("data.other_array", path=IMAGES_FILE, received="uint8 (0, 28, 28)"),
    ),
    "gzip cut": (change_bytes(IMAGES_FILE, lambda content: gzip.compress(content)[:-20]), DAMAGED),
    "gzip with a flipped byte": (
        change_bytes(IMAGES_FILE, lambda content: flip(0.5)(gzip.compress(content))),
        DAMAGED,
    ),
    "a gzip bomb": (change_bytes(IMAGES_FILE, lambda content: gzip.compress(content + bytes(50_000_000))), DAMAGED),
    "gzip in gzip": (change_bytes(IMAGES_FILE, lambda content: gzip.compress(gzip.compress(content))), DAMAGED),
    "no images": (
        lambda: remove(IMAGES_FILE),
        expect("data.incomplete", path="idx", received="file of the train images"),
    ),
    "no labels": (
        lambda: remove(LABELS_FILE),
        expect("data.incomplete", path="idx", received="file of the train labels"),
    ),
    "twice": (
        write(f"idx/{IMAGES}.gz", pack_idx(np.ones((12, 28, 28), np.uint8))),
        expect("data.duplicate", path="idx"),
    ),
    "twice, once empty": (write("idx/train-imgs.npz", ""), expect("data.damaged", path="idx/train-imgs.npz")),
    "a label of 10": (
        write(LABELS_FILE, pack_idx(np.arange(12, dtype=np.uint8))),
        expect("data.label_range", path=LABELS_FILE, line=11, received=10),
    ),
    "a label more": (
        write(LABELS_FILE, pack_idx(np.arange(13, dtype=np.uint8) % 10)),
        expect("data.rows_differ", path=IMAGES_FILE, received=12, other=LABELS, expected=13),
    ),
    "one class": (
        write(LABELS_FILE, pack_idx(np.full(12, 7, np.uint8))),
        expect("data.one_class", path=LABELS_FILE, received=7),
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
NPZ_FILE = "npz/kmnist-train-imgs.npz"
NPZ_LABELS = "npz/kmnist-train-labels.npz"
NPZ_CONTENTS = {
    "data.damaged": {
        "empty": b"",
        "text": b"Not found",
        "a bare npy": GOOD,
        "cut": pack_npz(GOOD)[:-40],
        "with a flipped byte": flip(0.3)(pack_npz(GOOD)),
        "encrypted": set_flag(pack_npz(GOOD)),
        "claiming 4 GB": claim_size(pack_npz(GOOD)),
        "packed by LZMA": pack_npz(GOOD, method=zipfile.ZIP_LZMA),
        "of another name": pack_npz(GOOD, "../arr_0.npy"),
    },
    "data.other_array": {
        "of floats": pack_npz(pack(np.zeros((12, 28, 28), np.float32))),
        "flat": pack_npz(pack(np.zeros((12, 784), np.uint8))),
        "of no image": pack_npz(pack(np.zeros((0, 28, 28), np.uint8))),
        "an npy of many dimensions": pack_npz(claim(describe("(" + "1, " * 25 + "64)"))),
    },
    "io.npy_dtype": {"of objects": pack_npz(pack(np.array([{}] * 12, object)))},
    "io.npy_size": {
        "a torn npy": pack_npz(GOOD[:-9]),
        "an npy of a petabyte": pack_npz(claim(describe("(1000000000000, 28, 28)"))),
        "an npy of a bomb's shape": pack_npz(claim(describe("(" + "99999999999, " * 6 + ")"))),
        "an npy of a negative shape": pack_npz(claim(describe("(-1, -8, 8)"))),
    },
    "io.npy_header": {
        "an npy without a header": pack_npz(b"\x93NUMPY\x01\0"),
        "an npy of code": pack_npz(claim("__import__('os').mkdir('hacked')")),
        "an npy of another version": pack_npz(GOOD[:6] + b"\x09" + GOOD[7:]),
    },
}
NO_FILES = {
    "a folder": "data.incomplete",
    "a FIFO": "io.not_regular",
    "a socket": "io.not_regular",
    "/dev/zero": "io.not_regular",
    "a looped link": "io.unreadable",
    "a link to nothing": "io.missing",
}
CASES = [
    *(Case(f"idx {name}", IDX, spoil, error) for name, (spoil, error) in IDX_FILES.items()),
    *(
        Case(f"npz {name}", NPZ, write(NPZ_FILE, content), expect(code, path=NPZ_FILE))
        for code, contents in NPZ_CONTENTS.items()
        for name, content in contents.items()
    ),
    *(
        Case(
            f"{path} {name}",
            command,
            spoil_with(THINGS[name][0], path),
            expect(
                code, path=path if code != "data.incomplete" else path.split("/")[0]
            ),  # a folder is no file of its name
        )
        for path, command in ((IMAGES_FILE, IDX), (NPZ_FILE, NPZ), (NPZ_LABELS, NPZ))
        for name, code in NO_FILES.items()
    ),
    Case("idx of a terabyte", IDX, lambda: make_sparse(IMAGES_FILE), DAMAGED),
    Case("npz of a terabyte", NPZ, lambda: make_sparse(NPZ_FILE), expect("data.damaged", path=NPZ_FILE)),
    Case(
        "npz labels of floats",
        NPZ,
        write(NPZ_LABELS, pack_npz(pack(np.zeros(12)))),
        expect("data.other_array", path=NPZ_LABELS, received="float64 (12,)"),
    ),
]
