"""A run folder, a sweep or a checkpoint from somebody else ends in one line, whatever is in it."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import expect_error, write_labels
from mutated_folders import build_place, prepare, run_cases, take_snapshot

import digit_recognizer as dr
from digit_recognizer.__main__ import import_command
from digit_recognizer.competition.submissions import Provenance, load_submission, write_submission
from digit_recognizer.competition.submit import _describe_unknown
from digit_recognizer.evaluation.leaderboard import runs
from digit_recognizer.io import claim_folder, load_npy, read_json, write_json
from digit_recognizer.training.run import Run, load_config, load_run, load_run_config, read_result

pytestmark = pytest.mark.fast


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The healthy place, as the current folder."""
    (tmp_path / "place").mkdir()
    build_place(tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    return tmp_path / "place"


def edit(path, **changes):
    write_json(Path(path), {**read_json(Path(path)), **changes})


def test_mutated_folders_end_in_one_line_and_leave_the_rest_alone(tmp_path):
    prepare(tmp_path, with_keras=False)
    faults = []
    counts = run_cases(tmp_path, range(100), 7, False, faults.append)
    os.chdir(tmp_path)
    assert faults == [] and counts["cases"] == 100 and counts["commands"] > 100


@pytest.mark.slow
def test_many_mutated_folders_end_in_one_line(tmp_path):
    prepare(tmp_path, with_keras=True)
    faults = []
    run_cases(tmp_path, range(2000), 1, True, faults.append)
    os.chdir(tmp_path)
    assert faults == []


def test_accuracies_come_from_the_probabilities(place):
    """metrics.json says 0.1234; of the second run a row in ten is wrong."""
    table = runs().set_index("name")
    assert table.loc[["one", "two", "both"], "accuracy"].tolist() == [1, 0.9, 1] and table["rows"]["two"] == 60
    assert read_result(load_run(Path("runs/two"))).score.fold_accuracies == [0.9, 0.9]
    assert table["accuracy"]["letters"] == pytest.approx(4 / 9)


def test_a_run_of_version_0_2_is_scored_by_its_train_csv(place):
    Path("runs/two/labels.npy").unlink()
    assert runs().set_index("name")["accuracy"]["two"] == 0.9
    Path("data/train.csv").write_text("another")
    row = runs().set_index("name").loc["two"]
    assert np.isnan(row.accuracy) and "not at hand" in row.note and row.state == "finished"
    assert "unknown" in str(read_result(load_run(Path("runs/two"))))


@pytest.mark.parametrize(
    "name", ["log.txt", ".lock", "examination", "models", "figures", "report.html", "models/fold0"]
)
def test_a_link_in_a_run_folder_is_refused(place, name):
    link, before = Path("runs/one", name), take_snapshot(Path("outside"))
    shutil.rmtree(link) if link.is_dir() else link.unlink(missing_ok=True)
    link.symlink_to(Path("outside").absolute())
    for read in (load_run, load_config, claim_folder, lambda path: dr.compare(path, "runs/two")):
        with expect_error("io.link", path=link):
            read(Path("runs/one"))
    assert runs().set_index("name")["state"]["one"] == "damaged"
    assert take_snapshot(Path("outside")) == before


def test_a_link_in_place_of_a_trial_is_refused(place):
    Path("runs/sweep/trials").mkdir()
    Path("runs/sweep/trials/a").symlink_to(Path("outside").absolute())
    with expect_error("io.link", path="runs/sweep/trials/a"):
        claim_folder(Path("runs/sweep"))


def test_a_run_folder_that_is_a_link_itself_is_read(place):
    Path("newest").symlink_to("runs/one")
    assert load_run(Path("newest")).metrics["model"] == "dense"


def test_a_folder_that_was_begun_anew_is_not_written_to(place):
    """Removed while a run is at work in it, and made again by another: no file of the one beside those of the other."""
    lock = claim_folder(Path("runs/stopped"))
    with Run(Path("runs/stopped"), lock=lock) as run:
        run.log("first")
        shutil.rmtree("runs/stopped")
        with expect_error("io.lock_lost", path=Path("runs/stopped").absolute()):
            run.log("second")
        assert not Path("runs/stopped").exists()
        Path("runs/stopped").mkdir()
        for name in (".lock", "log.txt"):
            Path("runs/stopped", name).write_text("theirs\n")
        for write in (lambda: run.log("third"), lambda: run.write_array("folds", np.zeros(3))):
            with expect_error("io.lock_lost"):
                write()
    assert sorted(path.name for path in Path("runs/stopped").iterdir()) == [".lock", "log.txt"]
    assert Path("runs/stopped/log.txt").read_text() == "theirs\n"


def test_an_array_of_gigabytes_without_content_is_not_read(place):
    path = Path("runs/one/oof_probabilities.npy")
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (10**8, 10)})
        file.truncate(file.tell() + 4 * 10**9)
    with expect_error("io.too_long", path=path):
        load_npy(path)


def test_all_rows_nan_are_one_line_in_an_ensemble(place):
    np.save("runs/one/oof_probabilities.npy", np.full((60, 10), np.nan, np.float32))
    with expect_error("report.nothing_held_out", path="runs/one"):
        import_command("ensemble").main(["runs/one", "runs/two", "--debug"])


def test_no_member_is_named_a_hundred_times(place):
    edit("runs/both/metrics.json", members=["runs/one"] * 250)
    with expect_error("run.entry", path="runs/both/metrics.json", column="members"):
        load_run(Path("runs/both"))


@pytest.mark.parametrize(
    ("name", "value"), [("folds", 10**9), ("epochs", 10**12), ("refit", 10**9), ("batch_size", -1)]
)
def test_no_run_has_a_billion_folds(place, name, value):

    edit("runs/one/config.json", **{name: value})
    with expect_error("run.no_configuration"):
        load_run_config(Path("runs/one"), "cv")


def test_an_ineligible_submission_copied_without_its_note_is_known_again(place):
    labels = load_npy(Path("runs/two/test_probabilities.npy")).argmax(axis=1)
    copy = write_labels(Path("copy.csv"), labels)
    copy.write_text(copy.read_text().replace("\n", "\r\n"))  # as a spreadsheet saves it
    assert load_submission(copy).provenance.ineligible is None  # the runs have these rows, and may be submitted
    edit("runs/two/metrics.json", ineligible="it is from a smoke run")
    assert load_submission(copy).provenance.ineligible == "it is from a smoke run"
    shutil.rmtree("runs")
    assert load_submission(copy).provenance is None
    assert "no run in runs/ made these rows" in _describe_unknown(copy)
    note = Provenance(model="m", command="c", commit=None, train_sha256=None, test_sha256=None, oof_accuracy=None,
                      ineligible="a leak")  # fmt: skip
    write_submission(Path("submissions/leaked.csv"), labels, len(labels), note)
    assert load_submission(copy).provenance.ineligible == "a leak"


def test_no_control_character_of_a_name_reaches_the_log(place, capsys):
    with Run(Path("runs/stopped")) as run:
        run.log("folder \x1b[2J\nsecond line")
    assert Path("runs/stopped/log.txt").read_text().endswith("folder \\x1b[2J\nsecond line\n")
    assert "\x1b" not in capsys.readouterr().out
    assert json.loads(Path("runs/one/config.json").read_text())["model"] == "dense"
