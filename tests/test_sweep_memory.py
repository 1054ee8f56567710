"""What a sweep takes over from earlier sittings, and what it must not."""

import dataclasses
import json

import pytest
from small_sweep import STUDY, change_data, prepare_sweep

from digit_recognizer.data.dataset import load_dataset
from digit_recognizer.errors import InputError, PrunedError, WriteError
from digit_recognizer.sweeps import sweeping
from digit_recognizer.sweeps import trials as running
from digit_recognizer.sweeps.ensembles import ENSEMBLES, load_ensembles
from digit_recognizer.sweeps.sweeping import sweep
from digit_recognizer.sweeps.trials import TRIALS, Shop, Trial, TrialTask, do_trial


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return prepare_sweep(tmp_path)


@pytest.mark.parametrize("rows", [60, 50])
def test_a_finished_trial_of_other_data_is_made_anew(config, tmp_path, rows, capsys):
    first = sweep(config)
    (tmp_path / "sweep" / TRIALS).unlink()
    change_data(tmp_path / "tiny", rows)
    again = sweep(config)
    assert again[0].name == first[0].name and again[0].train_curve != first[0].train_curve
    assert again[0].environment["train.csv"] != first[0].environment["train.csv"]
    assert sum(map(sum, again[0].confusion)) == rows // 2
    assert "train.csv: " in capsys.readouterr().out


def test_a_finished_trial_is_not_lost_for_what_lies_outside_it(config, tmp_path, monkeypatch):
    first = sweep(dataclasses.replace(config, trials=1))
    (tmp_path / "sweep" / TRIALS).unlink()

    def miss_devices(_):
        raise InputError("one device is there")

    with monkeypatch.context() as patch:
        patch.setattr("digit_recognizer.training.reproducibility.check_devices", miss_devices)
        with pytest.raises(InputError, match="one device"):
            sweep(config)
    monkeypatch.setattr(running, "cross_validate", None)
    assert sweep(dataclasses.replace(config, trials=1))[0].accuracy == first[0].accuracy


def test_a_finished_trial_whose_line_is_lost_is_read_again(config, tmp_path, monkeypatch):
    first = sweep(config)
    (tmp_path / "sweep" / TRIALS).unlink()
    monkeypatch.setattr(running, "cross_validate", None)
    assert [dataclasses.replace(one, seconds=0) for one in sweep(config)] == [
        dataclasses.replace(one, seconds=0) for one in first
    ]


def test_a_precision_that_was_settled_once_is_kept(config, tmp_path, monkeypatch):
    (tmp_path / "small.toml").write_text(STUDY.replace('precision = "float32"\n', ""))
    monkeypatch.setattr(sweeping, "settle_precision", lambda _, requested: "float32")
    sweep(dataclasses.replace(config, trials=1))
    monkeypatch.setattr(sweeping, "settle_precision", lambda _, requested: "bfloat16")  # a timing came out otherwise
    assert [one.environment["precision"] for one in sweep(config)] == ["float32", "float32"]


def test_a_line_tells_what_its_run_was_made_under_and_not_what_is_there_now(config, tmp_path):
    study = sweeping.load_study(config.study)
    recorded = {"precision": "bfloat16", "processor": "of another machine", "threads": 64, "train.csv": "f" * 64}
    content = {"run": "r", "commit": None, "resumed_with_differences": [], "fingerprint": recorded}
    (tmp_path / "environment.json").write_text(json.dumps(content))
    run_config = study.build_config({"model_args.units": 4}, 0)
    task = TrialTask(Trial.of(study, {"model_args.units": 4}, 0), run_config)
    assert running._tell_environment(load_dataset(run_config), task, tmp_path).items() >= recorded.items()


@pytest.mark.parametrize(
    "fault", [InputError("MLFLOW_TRACKING_URI must answer"), WriteError("no room.")], ids=["tracker", "disk"]
)
def test_what_is_no_fault_of_a_half_done_trial_leaves_it_as_it_is(config, tmp_path, monkeypatch, fault):
    plain = running._Watch.__call__

    def stop_late(watch, history):
        plain(watch, history)
        if len(history) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(running._Watch, "__call__", stop_late)
    with pytest.raises(KeyboardInterrupt):
        sweep(config)
    monkeypatch.setattr(running._Watch, "__call__", plain)
    (folder,) = (tmp_path / "sweep" / "trials").iterdir()
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.name.startswith("state")}
    assert before

    def fail(*_, **__):
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr("digit_recognizer.training.cross_validation.check_trackers", fail)
        with pytest.raises(InputError) as raised:
            sweep(config)
    if isinstance(fault, WriteError):
        assert str(raised.value).count("go on with") == 1 and "the same command" in str(raised.value)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir() if path.name.startswith("state")}
    epochs = []
    monkeypatch.setattr(running._Watch, "__call__", lambda watch, history: epochs.append(plain(watch, history)))
    sweep(dataclasses.replace(config, trials=1))
    assert len(epochs) <= 2, "the epochs that were kept are not run again"


def test_a_trial_that_another_version_began_is_begun_anew(config, tmp_path, monkeypatch, capsys):
    def stop(watch, history):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(running._Watch, "__call__", stop)
        with pytest.raises(KeyboardInterrupt):
            sweep(config)
    (folder,) = (tmp_path / "sweep" / "trials").iterdir()
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, "of_another_version": 1}))
    (record,) = sweep(dataclasses.replace(config, trials=1))
    assert record.state == "done" and f"{folder} is begun anew: " in capsys.readouterr().out


def test_ensembles_of_other_data_are_refused_and_those_kept_stay(config, tmp_path):
    sweep(config)
    kept = (tmp_path / "sweep" / ENSEMBLES).read_bytes()
    change_data(tmp_path / "tiny")
    with pytest.raises(InputError, match=r"another train\.csv"):
        sweep(config)
    assert (tmp_path / "sweep" / ENSEMBLES).read_bytes() == kept


def test_ensembles_of_an_earlier_wording_are_on_no_page(config, tmp_path):
    sweep(config)
    page = tmp_path / "sweep" / "page.html"
    assert "Ensembles of 1 to k nets" in page.read_text()
    (tmp_path / "small.toml").write_text(STUDY.replace("epochs = 3", "epochs = 2"))
    sweep(dataclasses.replace(config, trials=1))
    assert "Ensembles of 1 to k nets" not in page.read_text()
    kept = load_ensembles(tmp_path / "sweep" / ENSEMBLES)
    sweep(config)
    assert "Ensembles of 1 to k nets" in page.read_text()
    both = load_ensembles(tmp_path / "sweep" / ENSEMBLES)
    assert len(both) == 2 * len(kept) and both[len(kept) :] == kept, "whoever goes back to it finds it"


def test_ensembles_of_more_nets_are_kept_where_some_of_their_folders_are_gone(config, tmp_path):
    sweep(config)
    path = tmp_path / "sweep" / ENSEMBLES
    kept = load_ensembles(path)
    for folder in (tmp_path / "sweep" / "trials").iterdir():
        folder.rename(tmp_path / folder.name)
    assert sweep(config) and load_ensembles(path) == kept
    (tmp_path / "small.toml").write_text(STUDY.replace("seeds = 2", "seeds = 3"))
    sweep(config)
    assert load_ensembles(path) == kept, "the one net that has a folder makes no ensemble"


def test_what_a_trial_leaves_elsewhere_comes_back_with_its_folders(config, monkeypatch):
    study = sweeping.load_study(config.study)
    run_config = study.build_config({"model_args.units": 4}, 0)
    plain = running.cross_validate

    def track(config, **given):
        result = plain(config, **given)
        (config.run_dir / "tensorboard").mkdir()
        (config.run_dir / "tensorboard" / "events").write_bytes(b"curves")
        return result

    monkeypatch.setattr(running, "cross_validate", track)
    shop = Shop({(0, 1): load_dataset(run_config)}, None)
    outcome = do_trial(shop, TrialTask(Trial.of(study, {"model_args.units": 4}, 0), run_config))
    assert outcome.files["tensorboard/events"] == b"curves" and "history.csv" in outcome.files


def test_a_run_in_its_last_epoch_is_not_given_up(monkeypatch):
    monkeypatch.setattr(running, "is_unpromising", lambda curve, earlier: True)
    watch = running._Watch([(0.9, 0.9)], epochs=2)
    watch([{"held_out_accuracy": 0.1}, {"held_out_accuracy": 0.1}])
    with pytest.raises(PrunedError):
        watch([{"held_out_accuracy": 0.1}])


def test_a_page_of_no_trial_does_not_take_the_place_of_one(config, tmp_path):
    sweep(config)
    page = (tmp_path / "sweep" / "page.html").read_bytes()
    (tmp_path / "small.toml").write_text(STUDY.replace("epochs = 3", "epochs = 2"))
    with pytest.raises(InputError, match="holds 2 trials, but none that"):
        sweep(dataclasses.replace(config, page_only=True))
    assert (tmp_path / "sweep" / "page.html").read_bytes() == page
