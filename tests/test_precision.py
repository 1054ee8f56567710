import keras
import pytest

from digit_recognizer.training import hardware as precision


@pytest.mark.parametrize(
    ("devices", "seconds", "expected"),
    [
        (["cpu:0"], {"float32": 2.0, "bfloat16": 1.0}, "bfloat16"),
        (["cpu:0"], {"float32": 1.0, "bfloat16": 3.0}, "float32"),
        (["cpu:0"], {"float32": 1.05, "bfloat16": 1.0}, "float32"),
        (["gpu:0"], {"float32": 4.0, "bfloat16": 1.0, "float16": 0.95}, "bfloat16"),
        (["gpu:0"], {"float32": 4.0, "bfloat16": 6.0, "float16": 1.0}, "float16"),
    ],
)
def test_auto_takes_what_is_fastest_here(devices, seconds, expected, monkeypatch):
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: devices)
    monkeypatch.setattr(precision, "time_formats", lambda formats: {name: seconds[name] for name in formats})
    assert precision.choose_precision("auto") == expected


def test_a_request_is_taken_as_it_is():
    assert precision.choose_precision("float16") == "float16"


def test_formats_are_timed_for_real():
    seconds = precision.time_formats(["float32", "bfloat16"])
    assert list(seconds) == ["float32", "bfloat16"] and all(0 < value < 10 for value in seconds.values())


def test_the_policy_ends_with_its_block():
    before = keras.config.dtype_policy().name
    with precision.precision_policy("bfloat16"):
        assert keras.layers.Dense(1).dtype_policy.name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == before
