import dataclasses
import json

import keras
import pytest
from conftest import write_tiny_data

from digit_recognizer.errors import DivergedError, InputError
from digit_recognizer.sweeps import sweeping
from digit_recognizer.sweeps import trials as running
from digit_recognizer.sweeps.ensembles import ENSEMBLES, load_ensembles
from digit_recognizer.sweeps.sweeping import SweepConfig, sweep
from digit_recognizer.training.cross_validation import cross_validate

STUDY = """
title = "Small"
seeds = 2
input_dir = "tiny"
[fixed]
model = "dense"
epochs = 3
batch_size = 10
learning_rate = 0.1
folds = 2
precision = "float32"
[[grid]]
model_args.units = [4, 8]
"""


@pytest.fixture
def study(tmp_path):
    write_tiny_data(tmp_path / "tiny")
    path = tmp_path / "small.toml"
    path.write_text(STUDY)
    return path


def strip(records):
    """What must not depend on when, or how often, a sweep was stopped."""
    return [
        dataclasses.replace(record, seconds=0.0, environment={**record.environment, "data": ""}) for record in records
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The records of a sweep that nobody stopped."""
    folder = tmp_path_factory.mktemp("whole")
    write_tiny_data(folder / "tiny")
    (folder / "small.toml").write_text(STUDY)
    return sweep(SweepConfig(folder / "small.toml", folder / "sweep", folder / "tiny"))


def test_every_setting_is_run_with_every_seed_and_its_line_says_what_train_finds(whole, study, tmp_path):
    assert [(record.configuration["model_args.units"], record.seed) for record in whole] == [
        (4, 0),
        (8, 0),
        (4, 1),
        (8, 1),
    ]
    config = sweeping.load_study(study).build_config({"model_args.units": 8}, 1)
    result = cross_validate(config.replace(run_dir=tmp_path / "train", limit_test=0), single_split=True)
    record = whole[3]
    assert record.accuracy == result.score.oof_accuracy and record.untrained == result.untrained_accuracy
    assert record.val_curve[-1] == pytest.approx(record.accuracy, abs=1e-6) and len(record.val_curve) == 3
    assert sum(map(sum, record.confusion)) == 30, "60 rows, half of them held out"
    assert sum(record.confusion[label][label] for label in range(10)) == round(30 * record.accuracy)
    assert record.parameters == 784 * 8 + 8 + 8 * 8 + 8 + 8 * 10 + 10


def test_a_sweep_that_is_stopped_again_and_again_ends_with_the_same_trials(whole, study, tmp_path, monkeypatch):
    plain, epochs = running._Watch.__call__, []

    def stop_now_and_then(watch, history):
        plain(watch, history)
        epochs.append(history[-1]["epoch"])
        if len(epochs) in (1, 3, 6):  # in the first epoch, in the last, and in a later trial
            raise KeyboardInterrupt

    monkeypatch.setattr(running._Watch, "__call__", stop_now_and_then)
    config = SweepConfig(study, tmp_path / "sweep")
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt, match="go on with the same command"):
            sweep(config)
    records = sweep(config)
    assert strip(records) == strip(whole)
    for record in records:
        metrics = json.loads((tmp_path / "sweep" / "trials" / record.name / "metrics.json").read_text())
        assert record.seconds >= round(metrics["elapsed_seconds"], 3), "the time of all sittings"
    assert len(epochs) == 4 * 3 + 3, "the epoch that was not yet kept is run again, and no other"


def test_a_trial_names_the_commit_of_the_sweep_wherever_it_is_run(study, tmp_path, monkeypatch):
    monkeypatch.setattr(sweeping, "find_commit", lambda: "abc1234")
    (record,) = sweep(SweepConfig(study, tmp_path / "sweep", trials=1))
    assert record.environment["commit"] == "abc1234"


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ('augmentation = ["none", "flip"]', "mirrors images"),
        ("devices = [1, 2]", "needs KERAS_BACKEND=jax"),
        ("cached_augmentations = [1, 8]", "--cached-augmentations is for transfer nets"),
        ("folds = [2, 50]", "--folds takes at most"),
    ],
)
def test_what_these_data_or_this_backend_cannot_bear_is_refused_before_any_trial(study, tmp_path, values, complaint):
    if "devices" in values and keras.config.backend() == "jax":
        pytest.skip("JAX bears several devices")
    text = STUDY.replace("model_args.units = [4, 8]", values)
    study.write_text(text.replace("folds = 2\n", "") if "folds" in values else text)
    with pytest.raises(InputError, match=complaint):
        sweep(SweepConfig(study, tmp_path / "sweep"))
    assert not (tmp_path / "sweep" / "trials.jsonl").exists()


def test_a_trial_that_ended_is_not_run_again(study, tmp_path, monkeypatch, capsys):
    config = SweepConfig(study, tmp_path / "sweep")
    first = sweep(dataclasses.replace(config, trials=3))
    assert len(first) == 3
    run = []
    plain = running.run_trial
    monkeypatch.setattr(running, "run_trial", lambda *given: run.append(given) or plain(*given))
    assert sweep(config)[:3] == first and len(run) == 1
    assert sweep(config)[:3] == first and len(run) == 1
    assert "holds 4 trials that have ended" in capsys.readouterr().out


def test_a_setting_of_which_no_net_can_be_built_or_whose_fit_diverges_does_not_end_the_sweep(
    study, tmp_path, monkeypatch, capsys
):
    study.write_text(STUDY.replace("[4, 8]", "[4, 2000]"))
    plain = running.cross_validate

    def diverge(config, **given):
        if config.seed == 1:
            raise DivergedError("the fit diverged")
        return plain(config, **given)

    monkeypatch.setattr(running, "cross_validate", diverge)
    records = sweep(SweepConfig(study, tmp_path / "sweep"))
    assert [record.state for record in records] == ["done", "failed", "failed", "failed"]
    assert "units takes a number from 1 to 1024" in records[1].reason and "diverged" in records[2].reason
    assert records[1].accuracy is None
    assert "note: no net can be built with model_args.units=2000, so its trials will fail" in capsys.readouterr().out


def test_a_hopeless_trial_is_given_up_and_its_net_with_it(study, tmp_path, monkeypatch):
    text = STUDY.replace("[4, 8]", "[4, 8, 16]").replace("seeds = 2", 'seeds = 2\nprune = "median"\nat_once = 2')
    study.write_text(text)
    seen = []

    def judge(curve, earlier):
        seen.append(len(earlier))
        return len(earlier) == 2 and len(curve) == 2

    monkeypatch.setattr(running, "is_unpromising", judge)
    records = sweep(SweepConfig(study, tmp_path / "sweep"))
    assert [(record.configuration["model_args.units"], record.seed, record.state) for record in records] == [
        (4, 0, "done"), (8, 0, "done"), (4, 1, "done"), (8, 1, "done"), (16, 0, "pruned"),
    ]  # fmt: skip
    assert set(seen) == {0, 2} and len(records[-1].val_curve) == 2
    assert records[-1].accuracy == records[-1].val_curve[-1]
    left = [path.name for path in (tmp_path / "sweep" / "trials" / records[-1].name).iterdir()]
    assert not [name for name in left if "state" in name or name == "models"]


def test_ensembles_are_of_one_wording_of_the_study_and_of_one_settings_rows(study, tmp_path):
    text = STUDY.replace('"dense"', '"dense"\nsplit_seed = 0').replace(
        "model_args.units = [4, 8]", "limit_train = [40, 60]"
    )
    config = SweepConfig(study, tmp_path / "sweep")
    for epochs in (1, 2):
        study.write_text(text.replace("epochs = 3", f"epochs = {epochs}"))
        records = sweep(config)
    assert len(records) == 8, "those of the first wording are kept"
    scores = [one for one in load_ensembles(tmp_path / "sweep" / ENSEMBLES) if one.is_of(records[4:])]
    assert [(one.configuration, one.nets, one.choices) for one in scores] == [
        ("limit_train=40", 1, 2), ("limit_train=40", 2, 1), ("limit_train=60", 1, 2), ("limit_train=60", 2, 1),
    ]  # fmt: skip
    assert scores[0].accuracy == pytest.approx((records[4].accuracy + records[6].accuracy) / 2, abs=1e-6)
    assert scores[2].accuracy == pytest.approx((records[5].accuracy + records[7].accuracy) / 2, abs=1e-6)


def test_the_minutes_of_an_earlier_wording_are_not_this_ones(study, tmp_path):
    config = SweepConfig(study, tmp_path / "sweep", minutes=1e-6)
    sweep(config)
    study.write_text(STUDY.replace("epochs = 3", "epochs = 1"))
    assert len(sweep(config)) == 2


def test_minutes_are_counted_over_all_sittings(study, tmp_path, capsys):
    config = SweepConfig(study, tmp_path / "sweep", minutes=1e-6)
    assert len(sweep(config)) == 1 and len(sweep(config)) == 1
    assert "minutes are spent" in capsys.readouterr().out


def test_trials_of_other_data_are_not_mixed(study, tmp_path):
    config = SweepConfig(study, tmp_path / "sweep", trials=1)
    sweep(config)
    table = tmp_path / "tiny" / "train.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(InputError, match=r"another train\.csv"):
        sweep(dataclasses.replace(config, trials=2))


@pytest.mark.parametrize("budget", [{"trials": 0}, {"minutes": -1.0}, {"minutes": float("nan")}])
def test_a_budget_of_nothing_is_refused(study, budget):
    with pytest.raises(InputError, match="takes a number above 0"):
        SweepConfig(study, **budget)


def test_two_processes_do_not_sweep_in_one_folder(study, tmp_path):
    from digit_recognizer.io import claim_folder

    (tmp_path / "sweep").mkdir()
    held = claim_folder(tmp_path / "sweep")
    with pytest.raises(InputError, match="in use"):
        sweep(SweepConfig(study, tmp_path / "sweep"))
    held.release()


def test_grids_of_different_nets_are_run_side_by_side(study, tmp_path, capsys):
    other = '[[grid]]\nmodel = "dense"\nnet.units = 4\n[[grid]]\nmodel = "narrow"\nnet.kernel_px = 3\n'
    study.write_text(STUDY.replace('model = "dense"\n', "").replace("[[grid]]\nnet.units = [4, 8]\n", other))
    records = sweep(SweepConfig(study, tmp_path / "sweep", trials=2))
    assert [record.configuration["model"] for record in records] == ["dense", "narrow"]
    assert "model=dense seed=0" in capsys.readouterr().out


def test_a_process_that_has_grown_large_is_left_for_a_new_one(study, tmp_path, monkeypatch):
    table = tmp_path / "sweep" / "trials.jsonl"
    monkeypatch.setattr(
        sweeping, "measure_memory", lambda: len(sweeping.load_trials(table)) * (sweeping.MOST_GROWTH_BYTES // 2 + 1)
    )
    config, begun = SweepConfig(study, tmp_path / "sweep"), []

    def begin_anew():
        begun.append(len(sweeping.load_trials(table)))
        raise SystemExit

    with pytest.raises(SystemExit):
        sweep(config, restart=begin_anew)
    assert begun == [2]
    assert len(sweep(config)) == 4, "whoever cannot begin anew goes on"


def test_weights_that_cannot_be_had_stop_the_sweep_and_are_no_trials_fault(study, tmp_path):
    text = STUDY.replace('model = "dense"', 'model = "vgg16"\nweights = "gone.h5"\naugmentation = "none"')
    study.write_text(text.replace("model_args.units = [4, 8]", "batch_size = [5, 10]").replace("batch_size = 10\n", ""))
    with pytest.raises(InputError, match=r"--weights takes .* gone\.h5"):
        sweep(SweepConfig(study, tmp_path / "sweep"))
    assert sweeping.load_trials(tmp_path / "sweep" / "trials.jsonl") == []
