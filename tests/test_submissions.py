import contextlib
import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import expect_error, write_labels
from submitting import make_provenance

from digit_recognizer import score
from digit_recognizer.cli import command
from digit_recognizer.competition import submissions
from digit_recognizer.competition.submissions import (
    SUFFIXES,
    check_new_submission_path,
    check_submission,
    choose_submission_path,
    find_commit,
    format_command_line,
    load_submission,
    read_provenance,
    write_submission,
)
from digit_recognizer.errors import WriteError
from digit_recognizer.io import find_free_path
from digit_recognizer.score import score_submission

pytestmark = pytest.mark.fast
ROOT = Path(__file__).resolve().parents[1]
LABELS, TEST_LABELS = np.array([3, 1, 4, 1, 5]), np.arange(60, 80) % 10
PROVENANCE = make_provenance(train_sha256="a" * 64, test_sha256="b" * 64, oof_accuracy=0.99)


@pytest.fixture
def path(tmp_path):
    """Where a submission may go."""
    return tmp_path / "mine.csv"


def test_a_submission_is_written_as_kaggle_takes_it_and_read_back(tmp_path):
    path = tmp_path / "deep" / "mine.csv"
    write_submission(path, LABELS, 5, PROVENANCE)
    assert path.read_bytes() == b"ImageId,Label\n1,3\n2,1\n3,4\n4,1\n5,5\n"
    submission = load_submission(path)
    assert np.array_equal(submission.labels, LABELS)
    assert submission.provenance.test_sha256 == "b" * 64
    check_submission(submission, 5, "b" * 64)


def test_a_submission_for_other_rows_is_refused(path):
    write_submission(path, LABELS, 5, PROVENANCE)
    with expect_error("submission.other_test", path=path):
        check_submission(load_submission(path), 5, "c" * 64)
    with expect_error("submission.row_count", path=path, received=5, rows=4):
        check_submission(load_submission(path), 4, "b" * 64)


def test_labels_that_do_not_fit_the_ids_are_never_written(path):
    with expect_error("submission.label_count", path=path, received=4, rows=5):
        write_submission(path, LABELS[:4], 5, PROVENANCE)
    assert not path.exists()


def test_a_submission_changed_after_its_note_is_refused(path):
    write_submission(path, LABELS, 5, PROVENANCE)
    path.write_text(path.read_text().replace("1,3", "1,8"))
    with expect_error("submission.changed", path=path):
        load_submission(path)


def test_a_note_of_another_form_is_refused(path):
    write_submission(path, LABELS, 5, PROVENANCE)
    note = path.with_name("mine.csv.json")
    old = json.loads(note.read_text())
    old["unfit"] = old.pop("ineligible")  # as before version 0.2
    note.write_text(json.dumps(old))
    with expect_error("submission.provenance_fields", path=note):
        load_submission(path)


@pytest.mark.parametrize("note", sorted((ROOT / "submissions").glob("*.json")), ids=lambda note: note.name)
def test_the_submissions_in_the_repository_have_notes_of_this_form(note):
    assert read_provenance(note).ineligible is None
    load_submission(note.with_suffix(""))


def test_nothing_is_overwritten(path):
    check_new_submission_path(path, Path("input"))
    write_submission(path, LABELS, 5, PROVENANCE)
    with expect_error("submission.exists", path=path):
        check_new_submission_path(path, Path("input"))
    with pytest.raises(FileExistsError):
        write_submission(path, LABELS[::-1] % 9 + 1, 5, PROVENANCE)
    check_submission(load_submission(path), 5, "b" * 64)
    write_submission(path, LABELS, 5, PROVENANCE)  # the same again: a run that was stopped after it
    assert find_free_path(path.parent, "mine", *SUFFIXES) == path.with_name("mine-2.csv")
    path.unlink()
    with expect_error("submission.exists", path=path.with_name("mine.csv.json")):
        check_new_submission_path(path, Path("input"))
    assert find_free_path(path.parent, "mine", *SUFFIXES) == path.with_name("mine-2.csv")


def test_a_place_that_is_no_place_for_a_submission_is_refused(tmp_path):
    with expect_error("submission.suffix", column="--output"):
        check_new_submission_path(tmp_path / "mine.txt", Path("input"), "--output")
    with expect_error("submission.in_input_dir"):
        check_new_submission_path(tmp_path / "new.csv", tmp_path)


def test_names_keep_data_sets_and_leaks_apart():
    folder = Path("submissions")
    assert choose_submission_path("baseline-0.99000", Path("input"), None) == folder / "baseline-0.99000.csv"
    assert choose_submission_path("m", Path("input/sample"), None) == folder / "sample-m.csv"
    assert choose_submission_path("m", Path("input"), "leaks") == folder / "m-INELIGIBLE.csv"


def test_a_disk_that_fails_leaves_no_half_of_a_submission(path, monkeypatch):
    def fail(file, *rest, write=submissions._write_once, **options):
        if file == path:
            raise WriteError("io.unwritable", path=file, received="No space left on device")
        write(file, *rest, **options)

    monkeypatch.setattr(submissions, "_write_once", fail)
    with pytest.raises(WriteError):
        write_submission(path, LABELS, 5, PROVENANCE)
    assert not list(path.parent.iterdir())


def test_a_link_to_nowhere_takes_a_name(path):
    path.symlink_to(path.with_name("nowhere"))
    assert find_free_path(path.parent, "mine", *SUFFIXES) == path.with_name("mine-2.csv")


def test_of_commands_that_write_one_name_at_once_one_wins_whole(path):
    won = []

    def write(label):
        with contextlib.suppress(FileExistsError):
            write_submission(path, np.full(5, label), 5, replace(PROVENANCE, command=format_command_line()))
            won.append(label)

    for _ in range(20):
        threads = [threading.Thread(target=write, args=(label,)) for label in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert load_submission(path).labels[0] == won[0] and len(won) == 1
        path.unlink()
        path.with_name("mine.csv.json").unlink()
        won.clear()


def test_the_commit_is_known_where_there_is_no_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(submissions, "PACKAGE", tmp_path)
    assert find_commit() is None
    (tmp_path / "COMMIT").write_text("0123456789ab\n")
    assert find_commit() == "0123456789ab"


def test_a_hooks_repository_is_not_taken_for_the_packages(tmp_path, monkeypatch):
    monkeypatch.setattr(submissions, "PACKAGE", tmp_path / "mine" / "package")
    for name in ("mine", "other"):
        commit = ["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "--allow-empty", "-m", name]
        subprocess.run(["git", "init", "-q", tmp_path / name], check=True)
        subprocess.run(["git", "-C", tmp_path / name, *commit], check=True)
    own = find_commit()
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"):
        monkeypatch.setenv(name, str(tmp_path / "other" / ".git"))
    assert find_commit() == own
    assert len(own) == 12


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["/venv/ipykernel_launcher.py", "-f", "/run/kernel-1.json"], "a notebook"),
        (["/venv/bin/ipython"], "Python"),
        (["-c", "secret"], "Python"),
        ([""], "Python"),
        ([], "Python"),
        (["mine.py", "a b"], "python mine.py 'a b'"),
    ],
)
def test_arguments_of_another_program_are_not_recorded(arguments, expected, monkeypatch):
    monkeypatch.setattr(sys, "argv", arguments)
    assert format_command_line() == expected


def test_a_command_records_its_own_arguments_wherever_it_is_called(monkeypatch):
    @command
    def main(arguments):
        found.append((format_command_line(), arguments))

    found = []
    monkeypatch.setattr(sys, "argv", ["/venv/ipykernel_launcher.py", "-f", "/run/kernel-1.json"])
    assert main(["--smoke"]) == 0
    assert main() == 0  # not the kernel's arguments
    line = "python -m digit_recognizer.test_submissions"
    assert found == [(f"{line} --smoke", ["--smoke"]), (line, [])]
    assert format_command_line() == "a notebook"


# ---- scoring on test_labels.csv


def test_score_counts_correct_rows(tiny_dir, path, capsys):
    labels = TEST_LABELS.copy()
    labels[:3] = 9 - labels[:3]
    write_labels(path, labels)
    assert score.main([str(path), "--input-dir", str(tiny_dir)]) == 0
    printed = capsys.readouterr().out
    assert "accuracy 0.85000 on 20 test rows" in printed and "3 wrong" in printed
    assert score.main([str(path), "--input-dir", str(tiny_dir), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["accuracy"], row["rows"], row["wrong"], row["ineligible"]) == (0.85, 20, 3, None)
    assert row["low"] < 0.85 < row["high"]


def test_a_submission_for_other_test_rows_is_not_scored(tiny_dir, path, capsys):
    write_submission(path, np.zeros(20, int), 20, make_provenance(test_sha256="f" * 64))
    with expect_error("submission.other_test", path=path):
        score_submission(path, tiny_dir)
    assert score.main([str(path), "--input-dir", str(tiny_dir)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_ineligible_submission_is_scored_with_a_warning(tiny_dir, path):
    write_submission(path, TEST_LABELS, 20, make_provenance(ineligible="leaks"))
    assert "INELIGIBLE FOR THE COMPETITION: leaks" in str(score_submission(path, tiny_dir))


def test_without_the_test_images_a_submission_is_scored_with_a_warning(tiny_dir, path):
    (tiny_dir / "test.csv").unlink()
    write_submission(path, TEST_LABELS, 20, PROVENANCE)
    text = str(score_submission(path, tiny_dir))
    assert "accuracy 1.00000" in text and "test.csv is missing" in text


def test_without_test_labels_nothing_is_scored(tiny_dir, path):
    (tiny_dir / "test_labels.csv").unlink()
    write_labels(path, np.zeros(20, int))
    with expect_error("submission.no_test_labels", path=tiny_dir / "test_labels.csv"):
        score_submission(path, tiny_dir)


@pytest.mark.parametrize("ours", [True, False])
def test_only_the_same_command_may_complete_what_a_kill_left(path, ours):
    mine = replace(PROVENANCE, command=format_command_line())
    write_submission(path, LABELS % 9, 5, mine if ours else PROVENANCE)
    path.unlink()  # killed between the note and the submission
    if ours:
        check_new_submission_path(path, Path("input"))
        write_submission(path, LABELS, 5, mine)
        assert np.array_equal(load_submission(path).labels, LABELS)
    else:
        with expect_error("submission.exists"):
            check_new_submission_path(path, Path("input"))
        with pytest.raises(FileExistsError):
            write_submission(path, LABELS, 5, mine)
