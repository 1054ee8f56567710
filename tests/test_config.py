import dataclasses
import json
from pathlib import Path

import pytest

from digit_recognizer.config import RunConfig, flag
from digit_recognizer.errors import InputError


def test_every_field_reaches_json_as_json_can_hold_it():
    content = RunConfig().to_json()
    assert list(content) == [field.name for field in dataclasses.fields(RunConfig)]
    assert json.loads(json.dumps(content))["input_dir"] == "input"


def test_configuration_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RunConfig().epochs = 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("folds", 1),
        ("epochs", 0),
        ("seed", -1),
        ("batch_size", 0),
        ("devices", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("unfreeze_learning_rate", -1e-5),
        ("validation_fraction", 1.0),
        ("weight_decay", -0.1),
        ("weight_decay", float("nan")),
        ("label_smoothing", 1.0),
        ("synthetic_ratio", -0.5),
        ("synthetic_ratio", 11.0),
        ("synthetic_ratio", float("nan")),
        ("limit_train", -1),
        ("cached_augmentations", 0),
        ("patience", -1),
        ("unfreeze_epochs", 0),
        ("limit_test", -1),
        ("seed", 2**32),
        ("split_seed", -1),
        ("split_seed", 2**32),
    ],
)
def test_a_value_that_no_run_can_mean_is_refused_by_its_flag(field, value):
    with pytest.raises(InputError, match=f"^{flag(field)} .*received {value}") as caught:
        RunConfig(**{field: value})
    assert "\n" not in str(caught.value)


def test_a_configuration_comes_back_from_json():
    config = RunConfig(model="padded", run_dir=Path("runs/a"), patience=3, unfreeze="block5", model_args=("blocks=2",))
    assert RunConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": "3"}, "'epochs' takes a whole number; received '3'"),
        ({"epochs": True}, "'epochs' takes a whole number; received True"),
        ({"epochs": 0}, "--epochs"),
        ({"learning_rate": None}, "'learning_rate' takes a number; received None"),
        ({"momentum": 0.9}, "'momentum' is no setting"),
        ({"precision": "int8"}, "'precision' takes auto, float32, bfloat16 or float16; received 'int8'"),
        ({"split_seed": 0.5}, "'split_seed' takes a whole number or null; received 0.5"),
        ({"input_dir": 5}, "'input_dir' takes a text; received 5"),
        ({"net": "blocks=2"}, "'net' takes a list of texts; received 'blocks=2'"),
        ({"net": [2]}, r"'net' takes a list of texts; received \[2\]"),
        ({"net": None}, "'net' takes a list of texts; received None"),
    ],
)
def test_a_configuration_of_another_version_or_hand_is_refused(changes, words):
    with pytest.raises(InputError, match=words):
        RunConfig.from_json({**RunConfig().to_json(), **changes})
    without_seed = {name: value for name, value in RunConfig().to_json().items() if name != "seed"}
    with pytest.raises(InputError, match="'seed' is missing"):
        RunConfig.from_json(without_seed)
