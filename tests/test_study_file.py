from pathlib import Path

import pytest
from conftest import expect_error

from digit_recognizer.models import build_config
from digit_recognizer.sweeps.study import Range, load_study

STUDIES = Path(__file__).resolve().parents[1] / "studies"
GRID = """
title = "Two grids"
seeds = 2
[fixed]
model = "narrow"
epochs = 3
[[grid]]
model_args.dropout = [0.3, 0.5]
batch_size = [40, 80]
[[grid]]
model_args.dropout = 0.5
batch_size = [80, 100]
"""
SEARCH = """
title = "A search"
method = "tpe"
trials = 20
[search]
learning_rate = { low = 1e-4, high = 0.1, log = true }
batch_size = { low = 16, high = 256 }
optimizer = ["adam", "adagrad"]
"""


def load(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return load_study(path)


def test_grids_are_combined_and_joined_and_no_setting_comes_twice(tmp_path):
    study = load(tmp_path, GRID)
    assert study.name == "mine" and study.seeds == 2
    pairs = [
        (configuration["model_args.dropout"], configuration["batch_size"]) for configuration in study.configurations
    ]
    assert pairs == [(0.3, 40), (0.3, 80), (0.5, 40), (0.5, 80), (0.5, 100)]
    assert study.parameters == ("model_args.dropout", "batch_size")


def test_a_run_is_what_train_does_with_the_same_flags(tmp_path):
    study = load(tmp_path, GRID)
    config = study.build_config({"model_args.dropout": 0.3, "batch_size": 40}, 7)
    expected = build_config("narrow", epochs=3, model_args=["dropout=0.3"], batch_size=40, seed=7, limit_test=1)
    assert config == expected


def test_whole_ends_make_a_range_of_whole_numbers(tmp_path):
    ranges = load(tmp_path, SEARCH).ranges
    assert ranges["learning_rate"] == Range(1e-4, 0.1, log=True)
    assert ranges["batch_size"] == Range(16, 256)
    assert ranges["optimizer"] == ("adam", "adagrad")


def test_a_folder_gives_its_name_to_the_study_in_it(tmp_path):
    (tmp_path / "042-answers").mkdir()
    (tmp_path / "042-answers" / "study.toml").write_text(GRID)
    assert load_study(tmp_path / "042-answers").name == "042-answers"


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*/study.toml")), ids=lambda path: path.parent.name)
def test_every_study_that_ships_can_be_run(path):
    study = load_study(path)
    assert study.title and study.hypothesis and study.source and study.method_text
    configurations = study.configurations
    assert configurations, "those that ship are grids"
    for claim in study.claims:
        values = {configuration.get(claim.parameter) for configuration in configurations}
        assert {claim.low, claim.high} <= values


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('title = "Two grids"', "", "missing_entry"),
        ("seeds = 2", "seeds = 0", "entry"),
        ("seeds = 2", "seeds = true", "entry"),
        ("seeds = 2", "sedes = 2", "unknown_entry"),
        ("epochs = 3", "epochs = 0", "configuration"),
        ("epochs = 3", "epoch = 3", "configuration"),
        ("epochs = 3", "seed = 3", "set_by_sweep"),
        ("epochs = 3", "refit = 3", "of_cv"),
        ("epochs = 3", "model_args = 3", "entry"),
        ("epochs = 3", "epochs = [3, 4]", "entry"),
        ("epochs = 3", "batch_size = 3", "fixed_and_varied"),
        ('"narrow"', '"narow"', "configuration"),
        ("model_args.dropout = 0.5", "model_args.kernels = 0.5", "configuration"),
        ("[0.3, 0.5]", "[0.3, 0.3]", "entry"),
        ("[0.3, 0.5]", "[]", "entry"),
        ("[[grid]]", "[[grids]]", "unknown_entry"),
        ("[40, 80]", f"{list(range(1, 10**5))}", "too_many"),
        ("[fixed]", "[search]\nepochs = [1]\n[fixed]", "grid_or_search"),
        ('title = "Two grids"', "title = ", "io.not_toml"),
        ("epochs = 3", f"epochs = {'[' * 5000}{']' * 5000}", "io.not_toml"),
        ("[fixed]", "[[reported]]\nepochs = 9\naccuracy = 0.9\n[fixed]", "reported"),
        ("[fixed]", "[[reported]]\nepochs = 3\naccuracy = 9\n[fixed]", "entry"),
    ],
)
def test_what_is_wrong_in_a_study_is_refused(tmp_path, old, new, code):
    with expect_error(code if "." in code else f"sweep.{code}", path=tmp_path / "mine.toml"):
        load(tmp_path, GRID.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("trials = 20", "", "endless"),
        ("trials = 20", "minutes = 0", "entry"),
        ("low = 16", "low = 300", "entry"),
        ("low = 1e-4", "low = 0.0", "entry"),
        ("low = 16, high = 256", "low = 16", "missing_entry"),
        ('["adam", "adagrad"]', '["adam", "sgd"]', "configuration"),
        ('["adam", "adagrad"]', '"adam"', "entry"),
        ('method = "tpe"', 'method = "grid"', "grid_or_search"),
        ('method = "tpe"', 'method = "guess"', "entry"),
    ],
)
def test_what_is_wrong_in_a_search_is_refused(tmp_path, old, new, code):
    with expect_error(f"sweep.{code}", path=tmp_path / "mine.toml"):
        load(tmp_path, SEARCH.replace(old, new))


CLAIM = '\n[[claim]]\nsays = "More."\nparameter = "model_args.dropout"\nlow = 0.3\nhigh = 0.5\nexpects = "higher"\n'


@pytest.mark.parametrize(
    ("old", "new", "code", "column"),
    [
        ("high = 0.5", "high = 0.3", "claim_value", "model_args.dropout"),
        ("high = 0.5", "high = 0.4", "claim_value", "model_args.dropout"),
        ("low = 0.3", "low = nan", "claim_value", "model_args.dropout"),
        ("low = 0.3", 'low = "0.3"', "claim_value", "model_args.dropout"),
        ("model_args.dropout", "epochs", "claim_parameter", "epochs"),
        ("expects", "where = { model_args.dropout = 0.5 }\nexpects", "claim_value", "model_args.dropout"),
        ("expects", "where = { batch_size = 41 }\nexpects", "claim_value", "batch_size"),
        ("expects", 'where = { optimizer = "adam" }\nexpects', "claim_value", "optimizer"),
        ("expects", "wher = { batch_size = 40 }\nexpects", "unknown_entry", "[[claim]] number 1: wher"),
    ],
)
def test_a_claim_that_no_comparison_can_decide_is_refused(tmp_path, old, new, code, column):
    with expect_error(f"sweep.{code}", column=column):
        load(tmp_path, GRID + CLAIM.replace(old, new))


def test_a_claim_may_hold_where_something_else_has_a_value(tmp_path):
    claims = load(tmp_path, GRID + CLAIM + "where = { batch_size = 40 }\n").claims
    assert claims[0].where == {"batch_size": 40}
