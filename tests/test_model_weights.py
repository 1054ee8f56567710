"""Weights as a file: what is kept comes back exactly, and whatever else a file holds is refused in one line."""

import json
import os
import random
import struct

import keras
import numpy as np
import pytest
from conftest import expect_error
from safetensors.numpy import load, save

from digit_recognizer.errors import InputError
from digit_recognizer.models import build_model, list_models, read_options
from digit_recognizer.training.weights import export_keras, load_weights, pack_weights

BITS = 400


@pytest.fixture(scope="module")
def content():
    return pack_weights(build_model("padded"))


@pytest.mark.parametrize("name", [name for name in list_models() if name != "vgg16"])
def test_weights_come_back_exactly_and_the_export_agrees(tmp_path, name):
    model, other = build_model(name), build_model(name)
    (tmp_path / "model.safetensors").write_bytes(pack_weights(model))
    load_weights(other, tmp_path / "model.safetensors")
    for expected, found in zip(model.get_weights(), other.get_weights(), strict=True):
        assert expected.tobytes() == found.tobytes()
    (tmp_path / "model.keras").write_bytes(export_keras(model))
    plain = keras.saving.load_model(tmp_path / "model.keras")
    images = np.random.default_rng(0).random((4, 28, 28, 1), np.float32)
    np.testing.assert_allclose(plain.predict_on_batch(images), other.predict_on_batch(images), atol=1e-5)
    assert not any("Fused" in type(layer).__name__ for layer in plain.layers)


def test_unnamed_layers_keep_their_names_from_build_to_build(tmp_path):
    def build():
        inputs = keras.Input((4,))
        return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Dense(3)(inputs)))

    (tmp_path / "file").write_bytes(pack_weights(build()))
    load_weights(build(), tmp_path / "file")
    assert "000.dense/kernel" in load(pack_weights(build()))


def change(content, **changes):
    """The file with some of its arrays replaced, None for removed, and a right checksum."""
    from digit_recognizer.training.weights import _hash_arrays

    arrays = {**load(content), **changes}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    return save(arrays, {"sha256": _hash_arrays(arrays)})


BIAS = "001.block1_conv1/bias"
NAN, ZEROS = np.full(5, np.nan, np.float32), np.zeros(5, np.float32)
HEADER = json.dumps({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
SPOILT = {
    "empty": ("damaged", lambda content: b""),
    "not safetensors": ("damaged", lambda content: b"PK\3\4" + bytes(100)),
    "cut in its header": ("damaged", lambda content: content[:50]),
    "cut in its arrays": ("damaged", lambda content: content[:-1]),
    "one byte more": ("damaged", lambda content: content + b"\0"),
    "a header of gigabytes": ("damaged", lambda content: struct.pack("<Q", 1 << 33) + content[8:]),
    "a header beyond the file": ("damaged", lambda content: struct.pack("<Q", len(content)) + content[8:]),
    "a deeply nested header": ("damaged", lambda content: struct.pack("<Q", 9000) + b"[" * 9000),
    "an array of terabytes": ("damaged", lambda content: struct.pack("<Q", len(HEADER)) + HEADER),
    "a number changed": ("damaged", lambda content: content[:-1] + bytes([content[-1] ^ 1])),
    "without a checksum": ("damaged", lambda content: save(load(content))),
    "checksum that is no text": ("damaged", lambda content: content.replace(b'{"sha256":"', b'{"sha265":"')),
    "of another model": ("of_another_model", lambda content: pack_weights(build_model("dense"))),
    "of other options": (
        "of_another_model",
        lambda content: pack_weights(build_model("dense", **read_options("dense", ["units=9"]))),
    ),
    "an array missing": ("of_another_model", lambda content: change(content, **{BIAS: None})),
    "an array added": ("of_another_model", lambda content: change(content, extra=ZEROS)),
    "another shape": ("of_another_model", lambda content: change(content, **{BIAS: np.zeros((1, 5), np.float32)})),
    "another dtype": ("of_another_model", lambda content: change(content, **{BIAS: np.zeros(5, np.float64)})),
    "another dtype of that size": ("of_another_model", lambda content: change(content, **{BIAS: np.zeros(5, "i4")})),
    "NaN": ("not_finite", lambda content: change(content, **{BIAS: NAN})),
    "infinite": ("not_finite", lambda content: change(content, **{BIAS: ZEROS + np.float32("inf")})),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_file_is_refused_and_the_model_stays_as_it_was(tmp_path, content, name):
    code, spoil = SPOILT[name]
    path, model = tmp_path / "fold0.safetensors", build_model("padded")
    before = pack_weights(model)
    path.write_bytes(spoil(content))
    with expect_error(f"models.weights_{code}", path=path):
        load_weights(model, path)
    assert pack_weights(model) == before


@pytest.mark.parametrize(
    ("code", "make"),
    [
        ("missing", lambda path: None),
        ("folder", lambda path: path.mkdir()),
        ("not_regular", lambda path: os.mkfifo(path)),
        ("not_regular", lambda path: path.symlink_to("/dev/zero")),
        ("too_long", lambda path: path.write_bytes(bytes(200_000))),
    ],
    ids=["missing", "a folder", "a FIFO", "a link to a device", "far too large"],
)
def test_what_is_not_a_regular_file_is_refused_at_once(tmp_path, code, make):
    make(tmp_path / "fold0.safetensors")
    with expect_error(f"io.{code}", path=tmp_path / "fold0.safetensors"):
        load_weights(build_model("padded"), tmp_path / "fold0.safetensors")


def test_a_flipped_bit_is_refused_or_changes_nothing(tmp_path, content):
    rng, model, path = random.Random(0), build_model("padded"), tmp_path / "fold0.safetensors"
    expected, refused = load(content), 0
    for _ in range(BITS):
        flipped = bytearray(content)
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        try:
            load_weights(model, path)
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
        else:
            assert all(np.array_equal(array, expected[name]) for name, array in load(bytes(flipped)).items())
    assert refused > 0.98 * BITS
