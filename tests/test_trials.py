import dataclasses
import json

import pytest
from conftest import expect_error

from digit_recognizer.sweeps.study import Study
from digit_recognizer.sweeps.trials import Trial, TrialRecord, append_trial, group_by_configuration, load_trials

pytestmark = pytest.mark.fast
RECORD = TrialRecord("aa", {"epochs": 2}, 0, "done", untrained=0.1, accuracy=0.9, val_curve=(0.8, 0.9))


def to_line(record):
    return json.dumps(dataclasses.asdict(record))


LINE = to_line(RECORD)


def test_a_trial_is_named_after_what_the_study_says_of_it():
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


def test_a_whole_line_counts_though_its_end_is_missing(tmp_path):
    path = tmp_path / "trials.jsonl"
    path.write_text(LINE)
    assert load_trials(path) == [RECORD]
    other = dataclasses.replace(RECORD, name="cc")
    append_trial(path, other)
    assert path.read_text() == f"{LINE}\n{to_line(other)}\n" and load_trials(path) == [RECORD, other]


def test_a_record_that_could_not_be_read_again_is_not_written(tmp_path):
    path = tmp_path / "trials.jsonl"
    with pytest.raises(ValueError, match="val_curve"):
        append_trial(path, dataclasses.replace(RECORD, val_curve=()))
    assert not path.exists()


def test_a_line_that_cannot_be_written_leaves_the_others(tmp_path, monkeypatch):
    path = tmp_path / "trials.jsonl"
    append_trial(path, RECORD)

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", refuse)
    with expect_error("io.unwritable"):
        append_trial(path, dataclasses.replace(RECORD, name="bb"))
    assert load_trials(path) == [RECORD]


@pytest.mark.parametrize(
    "change",
    [
        {"accuracy": None},
        {"accuracy": float("nan")},
        {"state": "begun"},
        {"extra": 1},
        {"val_curve": 3},
        {"confusion": [[float("inf")]]},
        {"confusion": [[1, 2], [3]]},
        {"confusion": [[-1]]},
        {"configuration": None},
        {"configuration": {"epochs": [1]}},
        {"seed": "0"},
        {"name": ["aa"]},
        {"accuracy": 7.5},
        {"accuracy": True},
        {"seconds": -1.0},
        {"environment": [1]},
        {"confusion": [[1]], "environment": {"classes": ["a", "b"]}},
    ],
)
def test_a_damaged_line_is_refused_with_its_number(tmp_path, change):
    path = tmp_path / "trials.jsonl"
    line = json.dumps({**json.loads(LINE), "name": "bb", **change})
    path.write_text(f"{LINE}\n{line}\n")
    with expect_error("sweep.damaged_trial", path=path, line=2):
        load_trials(path)


def test_a_trial_that_is_there_twice_is_refused(tmp_path):
    path = tmp_path / "trials.jsonl"
    path.write_text(f"{LINE}\n" * 2)
    with expect_error("sweep.trial_twice", path=path, received="aa"):
        load_trials(path)


def test_groups_keep_the_order_of_configurations_and_sort_their_seeds():
    def record(epochs, seed):
        return dataclasses.replace(RECORD, configuration={"epochs": epochs}, seed=seed)

    groups = group_by_configuration([record(5, 1), record(2, 0), record(5, 0)])
    assert [(configuration, [one.seed for one in group]) for configuration, group in groups] == [
        ({"epochs": 5}, [0, 1]),
        ({"epochs": 2}, [0]),
    ]
