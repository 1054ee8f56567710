import contextlib
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import write_labels

from digit_recognizer.competition import submissions
from digit_recognizer.competition.submissions import (
    SUFFIXES,
    Provenance,
    check_new_submission_path,
    check_submission,
    count_image_ids,
    describe_command,
    load_submission,
    name_submission,
    write_submission,
)
from digit_recognizer.errors import InputError, WriteError
from digit_recognizer.io import find_free_path

LABELS = np.array([3, 1, 4, 1, 5])
PROVENANCE = Provenance(
    model="baseline",
    command="python -m digit_recognizer.cv",
    commit=None,
    train_sha256="a" * 64,
    test_sha256="b" * 64,
    oof_accuracy=0.99,
    ineligible=None,
)


def test_a_submission_is_written_as_kaggle_takes_it_and_read_back(tmp_path):
    path = tmp_path / "deep" / "mine.csv"
    write_submission(path, LABELS, 5, PROVENANCE)
    assert path.read_bytes() == b"ImageId,Label\n1,3\n2,1\n3,4\n4,1\n5,5\n"
    submission = load_submission(path)
    assert np.array_equal(submission.labels, LABELS)
    assert submission.provenance.test_sha256 == "b" * 64
    check_submission(submission, 5, "b" * 64)


def test_a_submission_for_another_test_csv_is_refused(tmp_path):
    path = tmp_path / "mine.csv"
    write_submission(path, LABELS, 5, PROVENANCE)
    with pytest.raises(InputError, match=r"mine\.csv was made for another test\.csv"):
        check_submission(load_submission(path), 5, "c" * 64)
    with pytest.raises(InputError, match="must hold the 4 ids"):
        check_submission(load_submission(path), 4)


def test_labels_that_do_not_fit_the_ids_are_never_written(tmp_path):
    with pytest.raises(InputError, match="5 ids, 4 labels"):
        write_submission(tmp_path / "mine.csv", LABELS[:4], 5, PROVENANCE)
    assert not list(tmp_path.iterdir())


def test_a_submission_changed_behind_its_note_is_refused(tmp_path):
    path = tmp_path / "mine.csv"
    write_submission(path, LABELS, 5, PROVENANCE)
    path.write_text(path.read_text().replace("1,3", "1,8"))
    with pytest.raises(InputError, match="was changed after its note"):
        load_submission(path)


def test_nothing_is_overwritten(tmp_path):
    path = tmp_path / "mine.csv"
    check_new_submission_path(path, Path("input"))
    write_submission(path, LABELS, 5, PROVENANCE)
    with pytest.raises(InputError, match=r"mine\.csv exists"):
        check_new_submission_path(path, Path("input"))
    with pytest.raises(FileExistsError):
        write_submission(path, LABELS[::-1] % 9 + 1, 5, PROVENANCE)
    check_submission(load_submission(path), 5)
    write_submission(path, LABELS, 5, PROVENANCE)  # the same again: a run that was stopped after it
    assert find_free_path(tmp_path, "mine", *SUFFIXES) == tmp_path / "mine-2.csv"
    with pytest.raises(InputError, match=r"ends in \.csv"):
        check_new_submission_path(tmp_path / "mine.txt", Path("input"))
    with pytest.raises(InputError, match="apart from the data"):
        check_new_submission_path(tmp_path / "new.csv", tmp_path)
    path.unlink()
    with pytest.raises(InputError, match=r"mine\.csv\.json exists"):
        check_new_submission_path(path, Path("input"))
    assert find_free_path(tmp_path, "mine", *SUFFIXES) == tmp_path / "mine-2.csv"


def test_names_keep_data_sets_and_leaks_apart():
    assert name_submission("baseline-0.99000", Path("input"), None) == "baseline-0.99000"
    assert name_submission("m", Path("input/sample"), None) == "sample-m"
    assert name_submission("m", Path("input"), "leaks") == "m-INELIGIBLE"


def test_the_number_of_ids_comes_from_the_sample_submission(tmp_path):
    path = write_labels(tmp_path / "sample_submission.csv", np.zeros(7, int))
    assert count_image_ids(path) == 7
    with pytest.raises(InputError, match="download"):
        count_image_ids(tmp_path / "elsewhere" / "sample_submission.csv")


def test_what_a_killed_command_left_of_a_submission_is_no_hindrance_to_the_same_command(tmp_path):
    path = tmp_path / "mine.csv"
    mine = replace(PROVENANCE, command=describe_command())
    for theirs, refused in ((mine, False), (PROVENANCE, True)):
        write_submission(path, LABELS % 9, 5, theirs)
        path.unlink()
        if refused:
            with pytest.raises(InputError, match=r"mine\.csv\.json exists"):
                check_new_submission_path(path, Path("input"))
            with pytest.raises(FileExistsError):
                write_submission(path, LABELS, 5, mine)
        else:
            check_new_submission_path(path, Path("input"))
            write_submission(path, LABELS, 5, mine)
            assert np.array_equal(load_submission(path).labels, LABELS)
            path.unlink()
            path.with_name("mine.csv.json").unlink()


def test_a_disk_that_fails_leaves_no_half_of_a_submission(tmp_path, monkeypatch):
    def fail(path, *rest, **options):
        if path.name == "mine.csv":
            raise WriteError("no room")
        plain(path, *rest, **options)

    plain = submissions._write_once
    monkeypatch.setattr(submissions, "_write_once", fail)
    with pytest.raises(WriteError):
        write_submission(tmp_path / "mine.csv", LABELS, 5, PROVENANCE)
    assert not list(tmp_path.iterdir())


def test_a_link_to_nowhere_takes_a_name(tmp_path):
    (tmp_path / "mine.csv").symlink_to(tmp_path / "nowhere")
    assert find_free_path(tmp_path, "mine", *SUFFIXES) == tmp_path / "mine-2.csv"


def test_of_commands_that_write_one_name_at_once_one_wins_whole(tmp_path):
    path, won = tmp_path / "mine.csv", []

    def write(label):
        with contextlib.suppress(FileExistsError):
            write_submission(path, np.full(5, label), 5, replace(PROVENANCE, command=describe_command()))
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
