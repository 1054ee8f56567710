"""What a run logs, read back by the trackers' own readers."""

import csv
import json

import pytest
from conftest import expect_error, write_tiny_data
from resuming import configure

from digit_recognizer.training import checkpoint, tracking
from digit_recognizer.training.cross_validation import resume, run_cross_validation

ADDRESS = "MLFLOW_TRACKING_URI"
EXTRA = "the extra `trackers` is not installed"
# MLflow 3.17 asks of SQLAlchemy 2.1 what that will not do much longer; neither is ours
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A run logged to both, interrupted before its third epoch was saved, and resumed to its end."""
    pytest.importorskip("mlflow", reason=EXTRA)
    pytest.importorskip("tensorboard", reason=EXTRA)
    folder = tmp_path_factory.mktemp("tracked")
    recipe = {"model": "dense", "epochs": 2, "batch_size": 20, "tensorboard": True, "limit_test": 5}
    config = configure(write_tiny_data(folder / "data"), "run", recipe, submission=None)
    plain, calls = checkpoint.save_checkpoint, []

    def stop_before_saving(path, state):
        calls.append(len(state.all_history))
        if len(state.all_history) == 3:
            raise KeyboardInterrupt
        plain(path, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ADDRESS, f"sqlite:///{folder / 'mlflow.db'}")
        patch.setenv("MLFLOW_EXPERIMENT_NAME", "digits")
        patch.setattr(checkpoint, "save_checkpoint", stop_before_saving)
        with pytest.raises(KeyboardInterrupt):
            run_cross_validation(config)
        assert read_mlflow(config).info.status == "KILLED"
        patch.setattr(checkpoint, "save_checkpoint", plain)
        resume(config.run_dir, "cv")
    return config


@pytest.fixture
def tracked(logged, monkeypatch):
    """Its configuration; read both, and write to neither."""
    monkeypatch.setenv(ADDRESS, f"sqlite:///{logged.run_dir.parent / 'mlflow.db'}")
    return logged


def read_mlflow(config):
    import mlflow

    runs = mlflow.search_runs(experiment_names=["digits"], output_format="list")
    assert len(runs) == 1, "a resumed run goes on in the MLflow run that it began"
    return runs[0]


def read_history(config):
    with (config.run_dir / "history.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def read_events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder)).Reload()


def test_tensorboard_holds_each_epoch_of_a_resumed_run_once(tracked):
    history = read_history(tracked)
    assert [(row["fold"], row["epoch"]) for row in history] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    for fold in (0, 1):
        events = read_events(tracked.run_dir / "tensorboard" / f"fold{fold}")
        rows = [row for row in history if row["fold"] == fold]
        assert set(events.Tags()["scalars"]) == {*history[0], "oof_accuracy"} - {"fold", "epoch"}
        for name in ("loss", "accuracy", "lr", "seconds"):
            found = events.Scalars(name)
            assert [one.step for one in found] == [1, 2]
            assert [one.value for one in found] == pytest.approx([row[name] for row in rows], rel=1e-6)  # float32


def test_event_files_themselves_hold_no_epoch_twice(tracked):
    """The reader above forgets what was written before a restart; other readers do not."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    files = list((tracked.run_dir / "tensorboard" / "fold1").iterdir())
    steps = [
        event.step
        for file in files
        for event in EventFileLoader(str(file)).Load()
        if any(value.tag == "loss" for value in event.summary.value)
    ]
    assert len(files) == 1 and steps == [1, 2]


def test_mlflow_holds_each_epoch_of_a_resumed_run_once(tracked):
    import mlflow

    run, history = read_mlflow(tracked), read_history(tracked)
    for fold in (0, 1):
        for name in ("loss", "accuracy", "lr"):
            found = mlflow.MlflowClient().get_metric_history(run.info.run_id, f"fold{fold}/{name}")
            rows = [row for row in history if row["fold"] == fold]
            assert [(one.step, one.value) for one in found] == [(row["epoch"], row[name]) for row in rows]


def test_both_hold_the_configuration_and_the_result(tracked):
    from tensorboard.plugins.hparams import metadata

    metrics = json.loads((tracked.run_dir / "metrics.json").read_text())
    run, events = read_mlflow(tracked), read_events(tracked.run_dir / "tensorboard")
    whole_run = ("oof_accuracy", "calibration_error", "training_seconds", "elapsed_seconds")
    numbers = {name: metrics[name] for name in whole_run}
    numbers |= dict(zip(("oof_accuracy_low", "oof_accuracy_high"), metrics["oof_accuracy_interval"], strict=True))
    assert {name: run.data.metrics[name] for name in numbers} == numbers
    assert {name: events.Scalars(name)[0].value for name in numbers} == pytest.approx(numbers, rel=1e-6)
    assert [run.data.metrics[f"fold{fold}/oof_accuracy"] for fold in (0, 1)] == metrics["fold_accuracies"]
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
    assert run.data.params["batch_size"] == "20" and run.data.params["model"] == "dense"
    found = {name: run.data.tags[name] for name in ("subcommand", "model", "run_folder", "ineligible")}
    assert found == {
        "subcommand": "cv", "model": "dense", "run_folder": str(tracked.run_dir), "ineligible": "no",
    }  # fmt: skip
    begun = json.loads((tracked.run_dir / "environment.json").read_text())
    assert run.data.tags["commit"] == (begun["commit"] or "unknown")
    begun = events.PluginTagToContent("hparams")[metadata.SESSION_START_INFO_TAG]
    settings = metadata.parse_session_start_info_plugin_data(begun).hparams
    assert settings["batch_size"].number_value == 20 and settings["tensorboard"].bool_value
    assert settings["schedule"].string_value == "one-cycle"
    about = events.Tensors("about")[-1].tensor_proto.string_val[0].decode()
    assert f"| run_folder | {tracked.run_dir} |" in about and "| ineligible | no |" in about


def test_trackers_change_no_number_and_are_no_part_of_the_fingerprint(tracked):
    fingerprint = json.loads((tracked.run_dir / "environment.json").read_text())["fingerprint"]
    assert "--epochs" in fingerprint and "--tensorboard" not in fingerprint


def test_a_run_that_the_address_does_not_know_is_named_before_training(tracked, tmp_path):
    (tmp_path / "mlflow.json").write_text(json.dumps({"run_id": "0" * 32}))
    with expect_error("trackers.run_unknown", path=tmp_path / "mlflow.json"):
        tracking.MLflowTracker(tmp_path, {}, {})
