import csv
import importlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import expect_error

import digit_recognizer as dr
from digit_recognizer.config import RunConfig
from digit_recognizer.evaluation.leaderboard import COLUMNS
from digit_recognizer.evaluation.metrics import compute_accuracy_interval
from digit_recognizer.io import claim_folder

pytestmark = pytest.mark.fast
command = importlib.import_module("digit_recognizer.runs")


def write_run(name, accuracy=None, subcommand="cv", **config):
    """A folder under runs/; a finished run if it has an accuracy."""
    path = Path("runs", name)
    path.mkdir(parents=True)
    content = {"subcommand": subcommand, "command": "c", **RunConfig(**config).to_json()}
    (path / "config.json").write_text(json.dumps(content))
    if accuracy is not None:  # ten rows, of which so many are right, and one that was never held out
        labels = np.arange(11) % 10
        oof = np.eye(10, dtype=np.float32)[np.where(np.arange(11) < round(10 * accuracy), labels, (labels + 1) % 10)]
        oof[10] = np.nan
        arrays = {"folds": np.arange(11) % 2, "labels": labels, "oof_probabilities": oof, "test_probabilities": oof[:2]}
        for file, array in arrays.items():
            np.save(path / f"{file}.npy", array)
        metrics = {
            "oof_accuracy": 0.1234,  # no accuracy is taken from here
            "oof_accuracy_interval": [0.1, 0.2],
            "train_sha256": "a",
            "test_sha256": "b",
            "ineligible": "it is from a smoke run" if config.get("smoke") else None,
            "elapsed_seconds": 61.2,
        }
        (path / "metrics.json").write_text(json.dumps(metrics))
    return path


@pytest.fixture
def folder(tmp_path):
    """Runs of every state, and a folder that is no run."""
    write_run("worse", 0.8, model="narrow", seed=3, epochs=7)
    write_run("better", 0.9, smoke=True)
    write_run("stopped")
    damaged = write_run("damaged", 0.5)
    (damaged / "metrics.json").write_text('{"oof_accuracy": ')
    strange = write_run("strange", 0.5)
    (strange / "metrics.json").write_text((strange / "metrics.json").read_text().replace("61.2", '"soon"'))
    lost = write_run("lost", 0.5)
    (lost / "config.json").unlink()
    (tmp_path / "runs" / "study").mkdir()
    (tmp_path / "runs" / "notes.txt").write_text("mine")
    return tmp_path / "runs"


def test_runs_are_listed_the_best_first_with_all_that_is_known(folder):
    frame = dr.runs()
    assert list(frame) == list(COLUMNS)
    assert frame["name"].tolist() == ["better", "worse", "stopped", "damaged", "lost", "strange"]
    assert frame["state"].tolist() == ["finished", "finished", "unfinished", "damaged", "damaged", "damaged"]
    worse = frame.iloc[1]
    assert (worse.model, worse.seed, worse.epochs, worse.rows, worse.accuracy) == ("narrow", 3, 7, 10, 0.8)
    assert (worse.low, worse.high, worse.seconds) == pytest.approx((*compute_accuracy_interval(8, 10), 61.2))
    assert frame["folder"].tolist()[0] == "runs/better" and "smoke" in frame["note"][0]


def test_an_unfinished_run_has_the_command_that_resumes_it(folder, capsys):
    resume = dr.runs(folder)["resume"]
    assert resume.notna().tolist() == [False, False, True, False, False, False]
    assert resume[2].endswith(f"-m digit_recognizer.cv --resume {folder / 'stopped'}")
    assert command.main([]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("digit_recognizer.cv --resume runs/stopped")


def test_an_executor_from_a_folder_is_repeated_but_no_other_flag(folder):
    entries = {"run": "r", "commit": None, "fingerprint": {"precision": "float32"}, "resumed_with_differences": []}

    def describe(*flags):
        (folder / "stopped/environment.json").write_text(json.dumps({**entries, "executor": flags}))
        return dr.runs(folder).iloc[2]

    for flags in ((), ("--executor", "processes", "--task-cpus", "2"), ("--task-cpus", "1")):
        assert describe(*flags).resume.endswith(" ".join([str(folder / "stopped"), *flags]))
    for flags in (("--allow-inexact",), ("--executor", "ray", "--ray-address", "h:1"), ("--submission", "/x")):
        assert describe(*flags).isna()["resume"]


def test_runs_of_several_data_sets_are_told_apart(folder, capsys):
    assert command.main([]) == 0
    assert "data" not in capsys.readouterr().out.splitlines()[0].split()
    write_run("sample", 1.0, input_dir=Path("input/sample"))
    assert dr.runs()["input_dir"].tolist()[:2] == ["input/sample", "input"]
    assert command.main([]) == 0
    heading, first, *_ = capsys.readouterr().out.splitlines()
    assert heading.split()[-1] == "data" and first.endswith("input/sample")


def test_a_run_under_way_is_no_run_to_resume(folder):
    lock = claim_folder(folder / "stopped")
    try:
        row = dr.runs().iloc[2]
        assert row.state == "running" and row.isna()["resume"]
    finally:
        lock.release()
    assert dr.runs()["state"][2] == "unfinished"


def test_a_run_of_tables_in_memory_is_resumed_by_its_call(folder):
    config = json.loads((folder / "stopped/config.json").read_text())
    (folder / "stopped/config.json").write_text(json.dumps({**config, "in_python": True, "model": "function:mine"}))
    row = dr.runs().iloc[2]
    assert row.isna()["resume"] and "run_dir='runs/stopped'" in row.note and row.model == "mine"


def test_an_unfinished_transfer_is_removed_before_it_is_repeated(folder):
    config = json.loads((folder / "stopped/config.json").read_text())
    (folder / "stopped/config.json").write_text(json.dumps({**config, "subcommand": "transfer"}))
    assert dr.runs().iloc[2].note == "remove it and repeat: c"


def test_a_run_of_another_version_is_not_promised_to_resume(folder):
    config = json.loads((folder / "stopped/config.json").read_text())
    (folder / "stopped/config.json").write_text(json.dumps({**config, "net": []}))
    row = dr.runs().iloc[2]
    assert row.state == "unfinished" and row.isna()["resume"] and "net" in row.note


def test_a_damaged_folder_is_a_line(folder, capsys):
    assert command.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("damaged: runs/damaged")]
    assert [line for line in lines if line.startswith("damaged: runs/lost") and "config.json" in line]
    assert [line for line in lines if line.startswith("note: runs/better: ineligible: ")]


def test_other_programs_get_json_or_csv(folder, capsys):
    assert command.main(["--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[1]["seed"] == 3 and rows[1]["accuracy"] == 0.8 and rows[3]["accuracy"] is None
    assert command.main(["runs", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert rows[1]["seed"] == "3" and rows[3]["accuracy"] == "" and list(rows[0]) == list(COLUMNS)
    with expect_error("cli.two_formats"):
        command.main(["--json", "--csv", "--debug"])


def test_a_folder_without_runs_leads_to_the_first_one(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert command.main(["empty"]) == 0
    assert "next: " in capsys.readouterr().out and dr.runs("empty").empty
    with expect_error("io.missing", path="gone"):
        dr.runs("gone")


def test_before_the_first_run_there_is_an_empty_table(capsys):
    assert command.main([]) == 0 and dr.runs().empty
    assert "next: " in capsys.readouterr().out and not Path("runs").exists()


@pytest.mark.parametrize("name", ["compare", "ensemble", "runs"])
def test_a_public_function_stays_one_when_its_command_is_imported(name):
    importlib.import_module(f"digit_recognizer.{name}")
    assert callable(getattr(dr, name))
