"""Weights files of unknown origin: what Keras writes is read bit by bit alike, all else is refused."""

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from hostile_models import read_parts, save_net, swap_weights, write_hdf5, write_secret

from digit_recognizer.errors import InputError
from digit_recognizer.models import vgg16
from digit_recognizer.models._stored import hdf5, weights
from digit_recognizer.models._stored.weights import load_weights_file, write_weights_file
from digit_recognizer.training.saved_models import load_saved_model

Fill = Callable[[h5py.File], object]


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_net(tmp_path_factory.mktemp("net") / "net.keras")


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_weights_file(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def fill_all_kinds(file: h5py.File) -> None:
    rng = np.random.default_rng(0)
    file["scalar"] = np.float32(0.5)
    for size in (2, 4, 8):
        file[f"group/of{size}"] = rng.random((3, size, 2)).astype(f"<f{size}")
    for number in range(300):  # more than one symbol table, and a tree of two levels
        file[f"many/array{number}"] = np.full(2, number, np.float32)
    file.create_group("empty").attrs["weight_names"] = []
    file["group"].attrs["weight_names"] = [b"of2", b"of4:0", b""]
    file.attrs["layer_names"] = np.array([b"group", b"many"])  # of fixed length
    file.attrs["comment"] = "ünlesbar"


def test_what_the_hdf5_library_wrote_is_read_as_it_reads_it_and_survives_a_copy(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "original.h5", fill_all_kinds)
    original = load_weights_file(path)
    write_weights_file(tmp_path / "copy.h5", original)
    copied = load_weights_file(tmp_path / "copy.h5")
    with h5py.File(path) as file:
        expected: dict[str, np.ndarray] = {}
        file.visititems(lambda name, item: expected.update({name: item[()]} if isinstance(item, h5py.Dataset) else {}))
    assert original.arrays.keys() == copied.arrays.keys() == expected.keys()
    for name, array in expected.items():
        for found in (original.arrays[name], copied.arrays[name]):
            np.testing.assert_array_equal(found, array, strict=True)
    assert original.groups == copied.groups == ("empty", "group", "many")
    assert original.names == copied.names
    assert original.names["group", "weight_names"] == [b"of2", b"of4:0", b""]
    assert original.names["", "layer_names"] == [b"group", b"many"]
    assert original.numbers == 1 + 3 * 2 * (2 + 4 + 8) + 600


@pytest.mark.parametrize("ending", [".weights.h5", ".h5"])
def test_both_of_keras_formats_survive_a_copy(tmp_path: Path, ending: str) -> None:
    def build() -> keras.Model:
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.BatchNormalization()])

    one, other = build(), build()
    one.set_weights([np.random.default_rng(0).random(weight.shape) for weight in one.get_weights()])
    original, copy = tmp_path / f"original{ending}", tmp_path / f"copy{ending}"
    one.save_weights(original) if ending == ".weights.h5" else one.save(original)
    write_weights_file(copy, load_weights_file(original))
    other.load_weights(copy)
    for ours, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def link_a_ring(file: h5py.File) -> None:
    file["group/ring"] = file["group"] if "group" in file else file.create_group("group")


def claim(file: h5py.File) -> None:
    file.create_dataset("bomb", (10**6, 10**6), "<f4")  # never written: it takes no room


def pack(file: h5py.File) -> None:
    file.create_dataset("bomb", (10**6, 10**6), "<f4", chunks=(1000, 1000), compression="gzip", fillvalue=0)


def cut_into_chunks(file: h5py.File) -> None:
    file.create_dataset("chunks", data=np.zeros((4, 4), np.float32), chunks=(2, 2))


def keep_elsewhere(file: h5py.File) -> None:
    file.create_dataset("secret", (4,), "<f4", external=[("secret.bin", 0, 16)])


def put_together(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "<f4")
    layout[:] = h5py.VirtualSource("secret.h5", "secret", (4,))
    file.create_virtual_dataset("secret", layout)


def link_elsewhere(file: h5py.File) -> None:
    file["secret"] = h5py.ExternalLink("secret.h5", "secret")


def link_softly(file: h5py.File) -> None:
    file["soft"] = h5py.SoftLink("/anything")


def name_twice(file: h5py.File) -> None:
    file["one"] = np.zeros(4, np.float32)
    file["other"] = file["one"]


def refer(file: h5py.File) -> None:
    file.create_dataset("reference", (1,), h5py.ref_dtype)[0] = file.ref


HOSTILE: dict[str, tuple[Fill, str]] = {
    "an external link": (link_elsewhere, "a group in the newer layout, which can hold links to other files"),
    "a soft link": (link_softly, "holds a soft link, 'soft'"),
    "data in another file": (keep_elsewhere, "data kept in another file, at 'secret'"),
    "virtual data": (put_together, "'secret'"),
    "a ring": (link_a_ring, "a second time"),
    "one array under two names": (name_twice, "a second time"),
    "an array never written": (claim, "claims 4000000000000 bytes for its shape (1000000, 1000000) but keeps 0"),
    "a packed bomb": (pack, "compressed or otherwise filtered data, at 'bomb'"),
    "chunks": (cut_into_chunks, "chunked data, at 'chunks'"),
    "whole numbers": (lambda file: file.update(number=np.zeros(3, np.int64)), "no little-endian floats"),
    "floats the other way round": (lambda file: file.update(big=np.zeros(3, ">f4")), "no little-endian floats"),
    "texts": (lambda file: file.update(text="a" * 9), "no little-endian floats"),
    "references": (refer, "no little-endian floats"),
    "records": (lambda file: file.update(record=np.zeros(2, "f4,f4")), "no little-endian floats"),
    "a type with a name": (lambda file: file.update(kind=np.dtype("f4")), "neither a group nor an array"),
    "nothing in an array": (lambda file: file.update(nothing=np.zeros((0, 5), np.float32)), "claims 0 bytes"),
    "too deep": (lambda file: file.create_group("/".join("a" * 30)), "ineligible name"),
}  # fmt: skip


@pytest.mark.parametrize("sample", HOSTILE, ids=str)
def test_whatever_leads_elsewhere_or_holds_no_plain_floats_is_refused(
    net: Path, tmp_path: Path, sample: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill, expected = HOSTILE[sample]
    monkeypatch.chdir(tmp_path)
    write_secret(tmp_path)
    assert expected in refusal(write_hdf5(tmp_path / "weights.h5", fill))
    with pytest.raises(InputError, match=r"^\S*changed.keras/model.weights.h5 must hold weights"):
        load_saved_model(swap_weights(net, tmp_path / "changed.keras", fill))
    with pytest.raises(InputError, match=r"^--weights: \S*weights.h5 must .* --weights none\.$"):
        vgg16.build((28, 28, 1), 10, str(tmp_path / "weights.h5"))


@pytest.mark.parametrize("fill", [link_elsewhere, keep_elsewhere, put_together])
def test_the_ways_to_other_files_are_real(tmp_path: Path, fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_secret(tmp_path)
    with h5py.File(write_hdf5(tmp_path / "weights.h5", fill)) as file:
        np.testing.assert_array_equal(file["secret"], 42)


@pytest.mark.parametrize("ending", [".keras", ".weights.json", ".npz", ""])
def test_the_weights_flag_takes_hdf5_only(net: Path, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"net{ending}"
    path.write_bytes(net.read_bytes())
    with pytest.raises(InputError, match=r"^--weights takes a file that ends in \.h5, but received \S*net.*none\.$"):
        vgg16.build((28, 28, 1), 10, str(path))


def patch(at: int, layout: str, *values: Any) -> Callable[[bytes], bytes]:
    return lambda content: content[:at] + struct.pack(layout, *values) + content[at + struct.calcsize(layout) :]


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda content: b"", "begins with nothing"),
        (lambda content: bytes(512) + content, "begins with 00"),
        (lambda content: content[: len(content) // 2], "is cut short"),
        (patch(8, "<B", 2), "a layout of HDF5 that Keras does not use"),
        (patch(24, "<Q", 512), "spread over several files"),
        (patch(48, "<Q", 96), "spread over several files"),
        (patch(64, "<Q", 2**63), "beyond its end"),
        (patch(64, "<Q", 0), "damaged"),
    ],
)
def test_a_damaged_file_is_refused(net: Path, tmp_path: Path, spoil: Callable[[bytes], bytes], expected: str) -> None:
    path = tmp_path / "weights.h5"
    path.write_bytes(spoil(read_parts(net)[1]))
    assert expected in refusal(path)


def test_the_newer_layout_is_refused(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "weights.h5", lambda file: file.update(a=np.zeros(3, np.float32)), libver="latest")
    assert "a layout of HDF5 that Keras does not use" in refusal(path)


def test_size_and_number_of_parts_are_bounded(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.h5"
    path.write_bytes(read_parts(net)[1])
    monkeypatch.setattr(hdf5, "MOST_STEPS", 100)
    assert "more parts" in refusal(path)
    monkeypatch.setattr(weights, "MOST_BYTES", 100)
    assert "must have 100 bytes at most" in refusal(path)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["a pipe", "a device"])
def test_what_would_never_end_is_refused(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "weights.h5")
    assert "is a pipe or device" in refusal(tmp_path / "weights.h5")
