import numpy as np
import pytest

from digit_recognizer.errors import InputError
from digit_recognizer.sweeps import ensembles
from digit_recognizer.sweeps import report as ensemble_sections
from digit_recognizer.sweeps.ensembles import (
    EnsembleScore,
    evaluate_ensembles,
    load_ensembles,
    merge_ensembles,
    write_ensembles,
)
from digit_recognizer.sweeps.report import describe_ensembles
from digit_recognizer.sweeps.study import Study
from digit_recognizer.sweeps.trials import TrialRecord

STUDY = Study(name="s", title="S", grids=({"epochs": (1, 2)},), fixed={"split_seed": 0}, seeds=3)
LABELS = np.array([0, 1, 2, 3, 0, 1])
FOLDS = np.array([0, 0, 0, 0, 1, 1], np.int16)


def write_trial(folder, name, wrong, folds=FOLDS, sure=0.7):
    """A net that is wrong, and less sure than when it is right, in the held-out rows named."""
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


def test_the_mean_of_nets_that_err_in_different_rows_is_right_and_every_choice_counts(tmp_path):
    for name, wrong in (("a", [0]), ("b", [1]), ("c", [1, 2])):
        write_trial(tmp_path, name, wrong)
    records = [record("a", 0), record("b", 1), record("c", 2, accuracy=0.5)]
    scores = evaluate_ensembles(STUDY, records, tmp_path, lambda _: LABELS)
    assert [(score.configuration, score.nets, score.choices) for score in scores] == [
        ("epochs=1", 1, 3),
        ("epochs=1", 2, 3),
        ("epochs=1", 3, 1),
    ]
    single, _, triple = scores
    assert (single.lowest, single.highest) == (0.5, 0.75) and single.accuracy == pytest.approx((0.75 + 0.75 + 0.5) / 3)
    assert triple.accuracy == triple.lowest == triple.highest == 1.0


def test_nets_that_held_out_other_rows_and_trials_without_a_folder_are_not_averaged(tmp_path):
    write_trial(tmp_path, "a", [0])
    write_trial(tmp_path, "b", [1], folds=FOLDS[::-1].copy())
    write_trial(tmp_path, "d", [1])
    assert evaluate_ensembles(STUDY, [record("a", 0), record("b", 1)], tmp_path, lambda _: LABELS) == []
    assert evaluate_ensembles(STUDY, [record("a", 0), record("lost", 1)], tmp_path, lambda _: LABELS) == []
    given_up = record("d", 1, state="pruned")
    assert evaluate_ensembles(STUDY, [record("a", 0), given_up], tmp_path, lambda _: LABELS) == []


def test_a_damaged_folder_costs_its_net_alone(tmp_path, capsys):
    for name, wrong in (("a", [0]), ("b", [1]), ("c", [1]), ("d", [2]), ("e", [1, 2])):
        write_trial(tmp_path, name, wrong)
    (tmp_path / "c" / "folds.npy").write_bytes(b"no array")
    np.save(tmp_path / "d" / "oof_probabilities.npy", np.zeros((5, 10), np.float32))
    records = [record(name, seed) for seed, name in enumerate("abcde")]
    scores = evaluate_ensembles(STUDY, records, tmp_path, lambda _: LABELS)
    assert [(score.nets, score.choices) for score in scores] == [(1, 2), (2, 1)]
    notes = capsys.readouterr().out.splitlines()
    assert len(notes) == 3 and "c/folds.npy" in notes[0] and f"{tmp_path / 'd'} must hold" in notes[1]
    assert "must hold the net that 0.75 was measured of" in notes[2], "e is another's"


def test_of_many_nets_no_one_is_in_more_of_the_choices_than_chance_has_it():
    chosen = ensembles._choose(30, 3)
    assert len(set(chosen)) == ensembles.MOST_CHOICES and all(len(set(one)) == 3 for one in chosen)
    times = np.bincount(np.concatenate(chosen), minlength=30)
    assert times.min() >= 1 and times.max() <= 25, "each in 10 of 100 in the mean"
    assert ensembles._choose(4, 2) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]


def score(configuration, names, accuracy=0.75):
    return [
        EnsembleScore(configuration, nets, 1, accuracy, 0.5, 0.9, tuple(names)) for nets in range(1, len(names) + 1)
    ]


def test_of_kept_and_new_scores_those_of_more_nets_count_and_none_of_other_trials():
    records = [record("a", 0), record("b", 1), record("c", 2), record("x", 0, epochs=2), record("y", 1, epochs=2)]
    kept = [*score("epochs=1", "abc"), *score("epochs=2", "xz")]
    judged = [*score("epochs=2", "xy"), *score("epochs=1", "ab")]
    assert merge_ensembles(STUDY, kept, judged, records) == [*score("epochs=1", "abc"), *score("epochs=2", "xy")]
    assert merge_ensembles(STUDY, kept, [], records[1:]) == []
    several = [*score("epochs=1", "ab"), *score("epochs=1", "abc"), *score("epochs=1", "bc")]
    assert merge_ensembles(STUDY, several, score("epochs=1", "abc"), records) == score("epochs=1", "abc")


def test_kept_scores_take_the_name_that_their_setting_has_now_and_count_only_for_the_trials_as_they_are():
    records = [record("a", 0), record("b", 1)]
    assert merge_ensembles(STUDY, score("before epochs varied", "ab"), [], records) == score("epochs=1", "ab")
    assert merge_ensembles(STUDY, score("epochs=1", "ab", accuracy=0.7), [], records) == [], "of other data"


def test_scores_come_back_from_their_table_and_stand_on_the_page(tmp_path):
    for name, wrong in (("a", [0]), ("b", [1])):
        write_trial(tmp_path / "trials", name, wrong)
    scores = evaluate_ensembles(STUDY, [record("a", 0), record("b", 1)], tmp_path / "trials", lambda _: LABELS)
    path = tmp_path / "ensembles.csv"
    assert load_ensembles(path) == []
    write_ensembles(path, scores)
    assert load_ensembles(path) == scores
    (section,) = describe_ensembles(scores, tmp_path)
    assert section.table == (("configuration", "1 net", "2 nets"), ("epochs 1", "0.75000", "1.00000"))
    assert section.figures[0].path.read_bytes().startswith(b"\x89PNG")
    assert describe_ensembles([], tmp_path) == []


def test_of_many_nets_the_fewest_and_all_of_them_are_tabulated(tmp_path):
    scores = [
        EnsembleScore("model_args.dropout=0.5 epochs=3", nets, 1, nets / 100, 0.0, 0.9, ()) for nets in range(1, 31)
    ]
    (section,) = describe_ensembles(scores, tmp_path)
    assert section.table[0] == ("configuration", "1 net", *(f"{nets} nets" for nets in (*range(2, 8), 30)))
    assert section.table[1][::8] == ("dropout 0.5, epochs 3", "0.30000")


@pytest.mark.parametrize("name", ["epochs", "model_args.a_parameter_with_quite_a_long_name"])
def test_under_the_figure_every_setting_has_its_whole_label(name):
    configurations = [f"{name}={first} {name}_too={first}" for first in range(8)]
    scores = [
        EnsembleScore(configuration, nets, 1, 0.5, 0.4, 0.6, ()) for configuration in configurations for nets in (1, 2)
    ]
    figure = ensemble_sections._draw_ensembles(scores)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    inside, around = legend.get_window_extent(), figure.bbox
    assert around.x0 <= inside.x0 and inside.x1 <= around.x1 and around.y0 <= inside.y0
    assert len(legend.get_texts()) == 8
    assert figure.axes[0].get_window_extent().height > 0.5 * around.height


@pytest.mark.parametrize(
    "row",
    [b"a,many,1,0.5,0.5,0.5,x", b"a,2,1,0.5,0.5,0.5,x", b"a,1,1,7,7,7,x", b"a,1,1,nan,nan,nan,x", b"a,1", b"\xff",
     b'"' + 200_000 * b"a" + b'",1,1,0.5,0.5,0.5,x'],
    ids=["no number", "more nets than trials", "no share", "NaN", "cut off", "no text", "endless"],
)  # fmt: skip
def test_a_damaged_table_is_told(tmp_path, row):
    path = tmp_path / "ensembles.csv"
    path.write_bytes(b"configuration,nets,choices,accuracy,lowest,highest,trials\n" + row + b"\n")
    with pytest.raises(InputError, match=r"ensembles\.csv must be a table of ensembles"):
        load_ensembles(path)


def test_of_many_settings_those_with_the_best_nets_are_shown(tmp_path):
    scores = [
        EnsembleScore(f"epochs={epochs}", nets, 1, 0.5 + epochs / 100 + nets / 1000, 0.5, 0.9, ())
        for epochs in range(40)
        for nets in (1, 2)
    ]
    (section,) = describe_ensembles(scores, tmp_path)
    shown = list(dict.fromkeys(row[0] for row in section.table[1:]))
    assert shown == [f"epochs {epochs}" for epochs in range(32, 40)]
    assert "8 of 40 configurations" in section.paragraphs[0]
