from pathlib import Path

from digit_recognizer.sweeps.study import Study, describe_recipe, list_cautions


def study_of(fixed, grid):
    return Study(name="s", title="S", fixed=fixed, grids=(grid,), input_dir=Path("input"))


def test_the_page_tells_every_setting_of_the_runs_and_who_chose_it():
    study = study_of({"model": "narrow", "epochs": 3}, {"batch_size": (40, 80)})
    (section,) = describe_recipe(study, study.list_settings())
    rows = {name: (value, source) for name, value, source in section.table[1:]}
    assert rows["epochs"] == ("3", "the study")
    assert rows["batch_size"] == ("40, 80", "the study: it varies")
    assert rows["optimizer"] == ("muon", "the recipe of narrow")
    assert rows["folds"] == ("5", "default")
    assert "seed" not in rows and describe_recipe(study, []) == []


def test_optimizers_that_share_a_learning_rate_nobody_chose_are_told():
    optimizers = {"optimizer": ("adam", "muon")}
    (caution,) = list_cautions(
        study_of({"model": "narrow"}, optimizers), [{"optimizer": "adam"}, {"optimizer": "muon"}]
    )
    assert "adam, muon" in caution and "0.05" in caution
    named = study_of({"model": "narrow", "learning_rate": 0.01}, optimizers)
    assert list_cautions(named, named.list_settings()) == []


def test_it_is_told_where_a_runs_accuracy_is_not_its_curves():
    fixed = {"model": "narrow", "patience": 3}
    study = study_of(fixed, {"tta": (1, 5)})
    early, copies = list_cautions(study, study.list_settings())
    assert early.startswith("Runs stop early") and "shifted copies" in copies
    assert list_cautions(study_of({"model": "narrow"}, {"epochs": (1, 2)}), [{"epochs": 1}]) == []
