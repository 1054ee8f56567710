import dataclasses
import json
from pathlib import Path

import pytest
from conftest import expect_error

from digit_recognizer.config import RunConfig, flag

pytestmark = pytest.mark.fast


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
        ("refit_epochs", -1),
        ("small_epochs", -1),
        ("small_epochs", RunConfig.epochs),
        ("seed", 2**32),
        ("split_seed", -1),
        ("split_seed", 2**32),
    ],
)
def test_a_value_that_no_run_can_have_is_refused_by_its_flag(field, value):
    with pytest.raises(ValueError) as caught:
        RunConfig(**{field: value})
    error = caught.value
    assert error.code.startswith("config.") and error.column == flag(field) and str(error.received) == str(value)


@pytest.mark.parametrize("settings", [{"patience": 2}, {"schedule": "plateau"}])
def test_epochs_that_validation_compares_see_images_of_one_size(settings):
    with expect_error("config.small_epochs_with_validation", column="--small-epochs"):
        RunConfig(small_epochs=1, **settings)


def test_a_configuration_comes_back_from_json():
    config = RunConfig(model="padded", run_dir=Path("runs/a"), patience=3, unfreeze="block5", model_args=("blocks=2",))
    assert RunConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"epochs": "3"}, "config.field_type"),
        ({"epochs": True}, "config.field_type"),
        ({"epochs": 0}, "config.too_low"),
        ({"learning_rate": None}, "config.field_type"),
        ({"momentum": 0.9}, "config.field_unknown"),
        ({"precision": "int8"}, "config.field_type"),
        ({"tta": True}, "config.field_type"),
        ({"tta": 1.0}, "config.field_type"),
        ({"split_seed": 0.5}, "config.field_type"),
        ({"input_dir": 5}, "config.field_type"),
        ({"weights": "a\0b"}, "config.field_has_nul"),
        ({"model_args": "blocks=2"}, "config.field_type"),
        ({"model_args": [2]}, "config.field_type"),
        ({"model_args": None}, "config.field_type"),
    ],
)
def test_a_configuration_of_another_version_is_refused(changes, code):
    with expect_error(code, column=flag(*changes) if code == "config.too_low" else next(iter(changes))):
        RunConfig.from_json({**RunConfig().to_json(), **changes})


def test_a_missing_field_is_refused():
    without_seed = {name: value for name, value in RunConfig().to_json().items() if name != "seed"}
    with expect_error("config.field_missing", column="seed"):
        RunConfig.from_json(without_seed)
