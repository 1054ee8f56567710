"""Ensembles of a configuration's seeds."""

import numpy as np
import pandas as pd
import pytest
from conftest import expect_error

from digit_recognizer.sweeps.ensembles import (
    COLUMNS,
    MAX_CHOICES,
    choose_members,
    evaluate_ensembles,
    load_ensembles,
    merge_ensembles,
    update_ensembles,
)
from digit_recognizer.sweeps.report import Results, describe_ensembles, plot_ensembles
from digit_recognizer.sweeps.study import Study
from digit_recognizer.sweeps.trials import TrialRecord

pytestmark = [pytest.mark.fast, pytest.mark.filterwarnings("error::FutureWarning")]

STUDY = Study(name="s", title="S", grids=({"epochs": (1, 2)},), fixed={"split_seed": 0}, seeds=3)
LABELS = np.array([0, 1, 2, 3, 0, 1])
FOLDS = np.array([0, 0, 0, 0, 1, 1], np.int16)


def write_trial(folder, name, wrong, folds=FOLDS, sure=0.7):
    """A model that is wrong, and less sure than when it is right, in the held-out rows named."""
    probabilities = np.full((6, 10), np.nan, np.float32)
    probabilities[:4] = (1 - sure) / 9
    for row in range(4):
        label = LABELS[row]
        probabilities[row, label] = sure
        if row in wrong:
            probabilities[row, label], probabilities[row, (label + 1) % 4] = 0.3, 0.4
    (folder / name).mkdir(parents=True)
    np.save(folder / name / "oof_probabilities.npy", probabilities)
    np.save(folder / name / "folds.npy", folds)


def record(name, seed, epochs=1, state="done", accuracy=0.75):
    return TrialRecord(name, {"epochs": epochs}, seed, state, accuracy=accuracy, val_curve=(0.5,))


def test_the_mean_of_models_that_err_in_different_rows_is_right(tmp_path):
    for name, wrong in (("a", [0]), ("b", [1]), ("c", [1, 2])):
        write_trial(tmp_path, name, wrong)
    records = [record("a", 0), record("b", 1), record("c", 2, accuracy=0.5)]
    scores = evaluate_ensembles(STUDY, records, tmp_path, lambda _: LABELS)
    assert scores[["configuration", "models", "choices"]].values.tolist() == [
        ["epochs=1", 1, 3],
        ["epochs=1", 2, 3],
        ["epochs=1", 3, 1],
    ]
    assert scores.lowest[0] == 0.5 and scores.highest[0] == 0.75
    assert scores.accuracy[0] == pytest.approx((0.75 + 0.75 + 0.5) / 3)
    assert scores.accuracy[2] == scores.lowest[2] == scores.highest[2] == 1.0


def test_models_that_held_out_other_rows_or_have_no_folder_are_not_averaged(tmp_path):
    write_trial(tmp_path, "a", [0])
    write_trial(tmp_path, "b", [1], folds=FOLDS[::-1].copy())
    write_trial(tmp_path, "d", [1])
    pruned = record("d", 1, state="pruned")
    for other in (record("b", 1), record("lost", 1), pruned):
        assert evaluate_ensembles(STUDY, [record("a", 0), other], tmp_path, lambda _: LABELS).empty


def test_a_damaged_folder_costs_its_own_model_alone(tmp_path, capsys):
    for name, wrong in (("a", [0]), ("b", [1]), ("c", [1]), ("d", [2]), ("e", [1, 2])):
        write_trial(tmp_path, name, wrong)
    (tmp_path / "c" / "folds.npy").write_bytes(b"no array")
    np.save(tmp_path / "d" / "oof_probabilities.npy", np.zeros((5, 10), np.float32))
    records = [record(name, seed) for seed, name in enumerate("abcde")]
    scores = evaluate_ensembles(STUDY, records, tmp_path, lambda _: LABELS)
    assert scores[["models", "choices"]].values.tolist() == [[1, 2], [2, 1]]
    notes = capsys.readouterr().out.splitlines()
    assert [any(str(tmp_path / name) in note for note in notes) for name in "abcde"] == [False, False, True, True, True]


def test_of_many_models_none_is_chosen_more_often_than_by_chance():
    chosen = choose_members(30, 3)
    assert len(set(chosen)) == MAX_CHOICES and all(len(set(one)) == 3 for one in chosen)
    times = np.bincount(np.concatenate(chosen), minlength=30)
    assert times.min() >= 1 and times.max() <= 25, "each in 10 of 100 in the mean"
    assert choose_members(4, 2) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]


def score(configuration, names, accuracy=0.75):
    rows = [[configuration, count, 1, accuracy, 0.5, 0.9, " ".join(names)] for count in range(1, len(names) + 1)]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_scores_of_more_models_count_and_none_of_other_trials():
    records = [record("a", 0), record("b", 1), record("c", 2), record("x", 0, epochs=2), record("y", 1, epochs=2)]
    kept = pd.concat([score("epochs=1", "abc"), score("epochs=2", "xz")])
    new = pd.concat([score("epochs=2", "xy"), score("epochs=1", "ab")])
    expected = pd.concat([score("epochs=1", "abc"), score("epochs=2", "xy")])
    assert merge_ensembles(STUDY, pd.concat([new, kept]), records).values.tolist() == expected.values.tolist()
    assert merge_ensembles(STUDY, kept, records[1:]).empty


def test_kept_scores_are_renamed():
    records = [record("a", 0), record("b", 1)]
    merged = merge_ensembles(STUDY, score("before epochs varied", "ab"), records)
    assert merged.values.tolist() == score("epochs=1", "ab").values.tolist()


def test_scores_come_back_from_their_table_and_are_on_the_page(tmp_path):
    for name, wrong in (("a", [0]), ("b", [1])):
        write_trial(tmp_path / "trials", name, wrong)
    records = [record("a", 0), record("b", 1)]
    scores = evaluate_ensembles(STUDY, records, tmp_path / "trials", lambda _: LABELS)
    assert load_ensembles(tmp_path / "ensembles.csv").empty
    update_ensembles(STUDY, records, tmp_path, lambda _: LABELS)
    assert load_ensembles(tmp_path / "ensembles.csv").values.tolist() == scores.values.tolist()
    section = describe_ensembles(Results(STUDY, records, [], tmp_path))
    assert section.table.to_dict("records") == [
        {"configuration": "epochs 1", "1 models": "0.75000", "2 models": "1.00000", "fewer errors": "100 %"}
    ]
    assert section.figures[0].path.read_bytes().startswith(b"\x89PNG")
    assert describe_ensembles(Results(STUDY, records, [], tmp_path / "none")) is None


@pytest.mark.parametrize("name", ["epochs", "a_parameter_with_quite_a_long_name"])
def test_every_configuration_has_its_whole_label_below_the_figure(name):
    parts = [score(f"{name} {first}, {name}_too {first}", "ab") for first in range(8)]
    figure = plot_ensembles(pd.concat(parts))
    figure.draw_without_rendering()
    (legend,) = figure.legends
    inside, around = legend.get_window_extent(), figure.bbox
    assert around.x0 <= inside.x0 and inside.x1 <= around.x1 and around.y0 <= inside.y0
    assert len(legend.get_texts()) == 8
    assert figure.axes[0].get_window_extent().height > 0.5 * around.height


@pytest.mark.parametrize(
    "row",
    [b"a,many,1,0.5,0.5,0.5,x", b"a,2,1,0.5,0.5,0.5,x", b"a,1,1,7,7,7,x", b"a,1,1,nan,nan,nan,x", b"a,1", b"\xff"],
    ids=["no number", "more models than trials", "no share", "NaN", "cut off", "no text"],
)
def test_a_damaged_table_is_refused(tmp_path, row):
    path = tmp_path / "ensembles.csv"
    path.write_bytes(b"configuration,models,choices,accuracy,lowest,highest,trials\n" + row + b"\n")
    with expect_error("sweep.ensembles", path=path):
        load_ensembles(path)
