"""Saved nets with flipped bits: refused, or as good as before."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hostile_models import read_parts, save_net, write_archive

from digit_recognizer.errors import InputError
from digit_recognizer.models._stored.network import parse_network
from digit_recognizer.models._stored.weights import parse_weights
from digit_recognizer.training.saved_models import load_saved_model, read_archive

FLIPS = 400


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_net(tmp_path_factory.mktemp("net") / "net.keras")


def flip(content: bytes, rng: random.Random, most: int = 1) -> bytes:
    flipped = bytearray(content)
    for _ in range(rng.randint(1, most)):
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def test_a_flipped_bit_is_refused_or_changes_nothing(net: Path, tmp_path: Path) -> None:
    network, weights = read_archive(net)
    content, rng = net.read_bytes(), random.Random(0)
    refused = 0
    for _ in range(FLIPS):
        (tmp_path / "net.keras").write_bytes(flip(content, rng))
        try:
            found, found_weights = read_archive(tmp_path / "net.keras")
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
            continue
        assert found == network
        assert found_weights.arrays.keys() == weights.arrays.keys()
        for name, array in weights.arrays.items():
            np.testing.assert_array_equal(found_weights.arrays[name], array)
    assert refused > FLIPS / 2, "the checksums of the members must have caught most"


def test_flipped_bits_under_a_mended_checksum_raise_nothing_but_refusals(net: Path, tmp_path: Path) -> None:
    config, weights = read_parts(net)
    text, rng = json.dumps(config).encode(), random.Random(1)
    outcomes = {"refused": 0, "read": 0, "built": 0}
    for _ in range(FLIPS):
        for parse, part in ((parse_network, text), (parse_weights, weights)):
            try:
                parse(flip(part, rng, most=4), "net")
                outcomes["read"] += 1
            except InputError as error:
                outcomes["refused"] += 1
                assert "\n" not in str(error)
    for _ in range(FLIPS // 10):
        write_archive(tmp_path / "net.keras", flip(text, rng), weights)
        try:
            model = load_saved_model(tmp_path / "net.keras")
        except InputError:
            continue
        outcomes["built"] += 1
        probabilities = np.asarray(model.predict_on_batch(np.zeros((2, *model.input_shape[1:]), np.float32)))
        assert np.isfinite(probabilities).all()
    assert min(outcomes.values()) > 0, outcomes
