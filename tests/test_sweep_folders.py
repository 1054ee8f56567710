"""Folders of trials that an earlier sitting finished: what is damaged, or another's, is made anew."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from small_sweep import prepare_sweep

from digit_recognizer.sweeps.sweeping import sweep
from digit_recognizer.sweeps.trials import TRIALS


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return prepare_sweep(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a sweep of one trial."""
    folder = tmp_path_factory.mktemp("finished")
    sweep(dataclasses.replace(prepare_sweep(folder), input_dir=folder / "tiny", trials=1))
    return folder / "sweep"


def damage_history(folder):
    (folder / "history.csv").write_text("")


def cut_history(folder):
    text = (folder / "history.csv").read_text()
    (folder / "history.csv").write_text(text[:-30])


def swap_probabilities(folder):
    oof = np.load(folder / "oof_probabilities.npy")
    right = np.eye(10, dtype=np.float32)[np.arange(60) % 10]
    np.save(folder / "oof_probabilities.npy", np.where(np.isnan(oof), oof, right))


def shorten_probabilities(folder):
    np.save(folder / "oof_probabilities.npy", np.zeros((50, 10), np.float32))


def raise_accuracy(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps({**metrics, "oof_accuracy": 9.1}))


def take_out_seconds(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps({**metrics, "elapsed_seconds": None}))


def put_another_run(folder):
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, "seed": 7}))


def link_elsewhere(folder):
    folder.rename(folder.parents[2] / "elsewhere")
    folder.symlink_to(folder.parents[2] / "elsewhere")
    (folder / "environment.json").unlink()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (damage_history, "history.csv is empty"),
        (cut_history, "history.csv cannot be read"),
        (lambda folder: (folder / "history.csv").unlink(), "history.csv cannot be read"),
        (swap_probabilities, "are not those that its accuracy is of"),
        (shorten_probabilities, "have the shape (50, 10)"),
        (raise_accuracy, "oof_accuracy is '9.1'"),
        (take_out_seconds, "elapsed_seconds is 'None'"),
        (put_another_run, "a run with another --seed"),
        (link_elsewhere, "environment.json is missing"),
    ],
)
def test_a_finished_folder_that_is_damaged_or_anothers_is_made_anew(config, tmp_path, finished, damage, told, capsys):
    shutil.copytree(finished, tmp_path / "sweep")
    expected = sweep(dataclasses.replace(config, page_only=True))[0]
    (tmp_path / "sweep" / TRIALS).unlink()
    damage(tmp_path / "sweep" / "trials" / expected.name)
    (record,) = sweep(dataclasses.replace(config, trials=1))
    assert told in capsys.readouterr().out
    record, expected = (dataclasses.replace(one, seconds=0, environment={}) for one in (record, expected))
    assert record == expected
