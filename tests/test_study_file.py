from pathlib import Path

import pytest

from digit_recognizer.errors import InputError
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


def test_a_run_is_what_train_does_with_the_same_flags_but_for_test_rows_that_nobody_needs(tmp_path):
    study = load(tmp_path, GRID)
    config = study.build_config({"model_args.dropout": 0.3, "batch_size": 40}, 7)
    expected = build_config("narrow", epochs=3, model_args=["dropout=0.3"], batch_size=40, seed=7, limit_test=1)
    assert config == expected


def test_whole_ends_make_a_range_of_whole_numbers(tmp_path):
    ranges = load(tmp_path, SEARCH).ranges
    assert ranges["learning_rate"] == Range(1e-4, 0.1, log=True)
    assert ranges["batch_size"] == Range(16, 256, whole=True)
    assert ranges["optimizer"] == ("adam", "adagrad")


def test_a_folder_gives_its_name_to_the_study_in_it(tmp_path):
    (tmp_path / "042-answers").mkdir()
    (tmp_path / "042-answers" / "study.toml").write_text(GRID)
    assert load_study(tmp_path / "042-answers").name == "042-answers"


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*/study.toml")), ids=lambda path: path.parent.name)
def test_every_study_that_ships_can_be_run(path):
    study = load_study(path)
    assert study.title and study.hypothesis and study.document and study.method_text
    configurations = study.configurations
    assert configurations, "those that ship are grids"
    for reported in study.reported:
        fits = [one for one in configurations if reported.configuration.items() <= {**study.fixed, **one}.items()]
        assert fits, f"nothing is run that {reported} could stand beside"
    for claim in study.claims:
        values = {configuration.get(claim.parameter) for configuration in configurations}
        assert {claim.low, claim.high} <= values


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('title = "Two grids"', "", "title is missing"),
        ("seeds = 2", "seeds = 0", "seeds must be from 1 to 1,000; received 0"),
        ("seeds = 2", "seeds = true", "seeds must be of type int"),
        ("seeds = 2", "sedes = 2", "sedes is no entry of a study"),
        ("epochs = 3", "epochs = 0", "--epochs takes a number of at least 1"),
        ("epochs = 3", "epoch = 3", "'epoch'"),
        ("epochs = 3", "seed = 3", "seed is settled by the sweep"),
        ("epochs = 3", "net = 3", "net is settled by the sweep"),
        ("epochs = 3", 'name = "x"', "'name'"),
        ("epochs = 3", "epochs = [3, 4]", "epochs must be one value"),
        ("epochs = 3", "batch_size = 3", "batch_size stands in [fixed] and varies"),
        ('"narrow"', '"narow"', "--model takes one of"),
        ("model_args.dropout = 0.5", "model_args.kernels = 0.5", "takes --model-args NAME=VALUE of these"),
        ("[0.3, 0.5]", "[0.3, 0.3]", "names a value twice"),
        ("[0.3, 0.5]", "[]", "must be a value or a list of some"),
        ("[[grid]]", "[[grids]]", "is no entry of a study"),
        ("[fixed]", "[search]\nepochs = [1]\n[fixed]", "and no [search]"),
        ('title = "Two grids"', "title = ", "must be a study in TOML"),
    ],
)
def test_what_is_wrong_in_a_study_is_one_line_that_names_file_and_entry(tmp_path, old, new, complaint):
    with pytest.raises(InputError) as caught:
        load(tmp_path, GRID.replace(old, new))
    message = str(caught.value)
    assert complaint in message and "mine.toml" in message and "\n" not in message


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("trials = 20", "", "say trials or minutes"),
        ("trials = 20", "minutes = 0", "minutes must be above 0"),
        ("low = 16", "low = 300", "low must be below high"),
        ("low = 1e-4", "low = 0.0", "and above 0"),
        ("low = 16, high = 256", "low = 16", "high is missing"),
        ('["adam", "adagrad"]', '["adam", "sgd"]', "'optimizer' takes adam, adagrad or muon; received 'sgd'"),
        ('["adam", "adagrad"]', '"adam"', "must be a list of values"),
        ('method = "tpe"', 'method = "grid"', "needs one [[grid]] at least"),
        ('method = "tpe"', 'method = "guess"', "method must be one of grid, random, tpe"),
    ],
)
def test_what_is_wrong_in_a_search_is_told_likewise(tmp_path, old, new, complaint):
    with pytest.raises(InputError, match=r"mine\.toml") as caught:
        load(tmp_path, SEARCH.replace(old, new))
    assert complaint in str(caught.value)


@pytest.mark.parametrize(("low", "high"), [("0.3", "0.3"), ("0.3", "0.4"), ("nan", "0.5"), ('"0.3"', "0.5")])
def test_a_claim_compares_two_values_that_are_run(tmp_path, low, high):
    claim = (
        f'\n[[claim]]\nsays = "More."\nparameter = "model_args.dropout"\nlow = {low}\nhigh = {high}\nexpects = "none"\n'
    )
    with pytest.raises(InputError, match=r"compares two values of net\.dropout, of 0\.3, 0\.5"):
        load(tmp_path, GRID + claim)


def test_a_table_of_endless_depth_is_one_line(tmp_path):
    with pytest.raises(InputError, match="must be a study in TOML"):
        load(tmp_path, GRID + f"epochs = {'[' * 5000}{']' * 5000}\n")


def test_a_claim_about_what_does_not_vary_is_refused(tmp_path):
    claim = '\n[[claim]]\nsays = "More is better."\nparameter = "epochs"\nlow = 1\nhigh = 2\nexpects = "higher"\n'
    with pytest.raises(InputError, match="about epochs, which does not vary"):
        load(tmp_path, GRID + claim)


@pytest.mark.parametrize(
    "where", ["model_args.dropout = 0.5", "batch_size = 41", 'optimizer = "adam"', 'model_args.dropout = "0.3"']
)
def test_a_claim_holds_where_something_else_has_a_value_that_is_run(tmp_path, where):
    claim = '\n[[claim]]\nsays = "More."\nparameter = "model_args.dropout"\nlow = 0.3\nhigh = 0.5\nexpects = "higher"\n'
    assert load(tmp_path, GRID + claim + "where = { batch_size = 40 }\n").claims[0].where == {"batch_size": 40}
    with pytest.raises(InputError, match=rf"holds where {where.split(' ')[0]} is .*, but no configuration has that"):
        load(tmp_path, GRID + claim + f"where = {{ {where} }}\n")
