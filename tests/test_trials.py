import dataclasses
import json

import pytest

from digit_recognizer.errors import InputError
from digit_recognizer.sweeps.study import Study
from digit_recognizer.sweeps.trials import Trial, TrialRecord, append_trial, group_by_setting, load_trials

RECORD = TrialRecord("aa", {"epochs": 2}, 0, "done", untrained=0.1, accuracy=0.9, val_curve=(0.8, 0.9))


def test_a_trial_is_named_after_all_that_the_study_says_of_it_and_nothing_else():
    study = Study(name="one", title="One", fixed={"model": "narrow"})
    name = Trial.of(study, {"epochs": 2}, 0).name
    grown = dataclasses.replace(study, name="other", title="Other", seeds=9, conclusion="It is so.")
    assert Trial.of(grown, {"epochs": 2}, 0).name == name
    others = [Trial.of(study, {"epochs": 3}, 0), Trial.of(study, {"epochs": 2}, 1)]
    others.append(Trial.of(dataclasses.replace(study, fixed={"model": "wide"}), {"epochs": 2}, 0))
    assert len({name, *(trial.name for trial in others)}) == 4


def test_records_come_back_as_they_were_written(tmp_path):
    path = tmp_path / "trials.jsonl"
    failed = TrialRecord("bb", {"epochs": 3}, 1, "failed", reason='it says "no"\nand more')
    for record in (RECORD, failed):
        append_trial(path, record)
    assert load_trials(path) == [RECORD, failed]
    assert load_trials(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("cut", [1, 20, -2])
def test_a_line_that_was_cut_off_does_not_count_and_the_next_one_takes_its_place(tmp_path, cut):
    path = tmp_path / "trials.jsonl"
    append_trial(path, RECORD)
    whole = path.read_bytes()
    path.write_bytes(whole + whole.replace(b'"aa"', b'"bb"')[:cut])
    assert load_trials(path) == [RECORD]
    other = dataclasses.replace(RECORD, name="cc")
    append_trial(path, other)
    assert load_trials(path) == [RECORD, other]


def test_a_whole_line_counts_though_its_end_is_missing(tmp_path):
    path = tmp_path / "trials.jsonl"
    path.write_text(RECORD.to_json())
    assert load_trials(path) == [RECORD]
    other = dataclasses.replace(RECORD, name="cc")
    append_trial(path, other)
    assert path.read_text() == f"{RECORD.to_json()}\n{other.to_json()}\n" and load_trials(path) == [RECORD, other]


def test_a_record_that_could_not_be_read_again_is_not_written(tmp_path):
    path = tmp_path / "trials.jsonl"
    with pytest.raises(ValueError, match="has an accuracy"):
        append_trial(path, dataclasses.replace(RECORD, val_curve=()))
    assert not path.exists()


def test_nothing_is_left_of_a_line_that_was_cut_off_however_long_it_was(tmp_path):
    path = tmp_path / "trials.jsonl"
    path.write_bytes(RECORD.to_json().encode() + b"\n" + b"x" * 10_000)
    other = dataclasses.replace(RECORD, name="cc")
    append_trial(path, other)
    assert path.read_text() == f"{RECORD.to_json()}\n{other.to_json()}\n"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"accuracy": None}, "has an accuracy"),
        ({"accuracy": float("nan")}, "none that a trial can have"),
        ({"state": "begun"}, "none that a trial can have"),
        ({"extra": 1}, "'extra' is missing or unknown"),
        ({"val_curve": 3}, "not iterable"),
        ({"confusion": [[float("inf")]]}, "infinity"),
        ({"confusion": [[1, 2], [3]]}, "none that a trial can have"),
        ({"confusion": [[-1]]}, "none that a trial can have"),
        ({"configuration": None}, "'configuration' is of another type"),
        ({"configuration": {"epochs": [1]}}, "none that a trial can have"),
        ({"seed": "0"}, "'seed' is of another type"),
        ({"name": ["aa"]}, "'name' is of another type"),
        ({"accuracy": 7.5}, "none that a trial can have"),
        ({"accuracy": True}, "'accuracy' is of another type"),
        ({"seconds": -1.0}, "none that a trial can have"),
        ({"environment": [1]}, "'environment' is of another type"),
        ({"confusion": [[1]], "environment": {"classes": ["a", "b"]}}, "number of classes"),
    ],
)
def test_a_damaged_line_is_told_with_its_number(tmp_path, change, complaint):
    path = tmp_path / "trials.jsonl"
    line = json.dumps({**json.loads(RECORD.to_json()), "name": "bb", **change})
    path.write_text(f"{RECORD.to_json()}\n{line}\n")
    with pytest.raises(InputError, match="line 2") as caught:
        load_trials(path)
    assert complaint in str(caught.value)


def test_a_trial_that_stands_there_twice_is_told(tmp_path):
    path = tmp_path / "trials.jsonl"
    path.write_text(f"{RECORD.to_json()}\n" * 2)
    with pytest.raises(InputError, match="aa stands there twice"):
        load_trials(path)


def test_groups_keep_the_order_of_settings_and_sort_their_seeds():
    def record(epochs, seed):
        return dataclasses.replace(RECORD, configuration={"epochs": epochs}, seed=seed)

    groups = group_by_setting([record(5, 1), record(2, 0), record(5, 0)])
    assert [(configuration, [one.seed for one in group]) for configuration, group in groups] == [
        ({"epochs": 5}, [0, 1]),
        ({"epochs": 2}, [0]),
    ]
