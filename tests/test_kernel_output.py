"""What a kernel has left, fetched from a server that stands for Kaggle."""

from pathlib import Path

import pytest
from submitting import one_line

from digit_recognizer import kernel

FOLDER = "kernels/baseline"
SLUG = "digit-recognizer-baseline"


def test_the_output_comes_whole_into_a_new_folder(kaggle, pushed, capsys):
    kaggle.outputs = {f"run/models/fold{n}.keras": bytes([n]) * 3_000_000 for n in range(3)}
    kaggle.outputs |= {f"file{n}": b"x" for n in range(150)}  # more than a page
    kaggle.outputs["submission.csv"] = b"ImageId,Label\n1,3\n"
    kaggle.log = '[{"data":"out-of-fold accuracy"}]'
    assert kernel.main(["output", FOLDER]) == 0
    target = Path("runs/kaggle-baseline")
    assert (target / "run/models/fold2.keras").read_bytes() == b"\2" * 3_000_000
    assert len([path for path in target.rglob("*") if path.is_file()]) == 155
    assert (target / f"{SLUG}.log").read_text() == kaggle.log
    assert f"submit {target}/submission.csv -m MESSAGE" in capsys.readouterr().out
    assert kernel.main(["output", FOLDER, "--output-dir", str(target)]) == 2
    assert "takes a new folder" in one_line(capsys)
    assert kernel.main(["output", FOLDER]) == 0
    assert Path("runs/kaggle-baseline-2/submission.csv").exists()


@pytest.mark.parametrize("fault", [404, 500, "cut", "part"])
def test_output_that_fails_in_between_leaves_nothing_behind(kaggle, pushed, capsys, fault):
    kaggle.outputs = {"one": b"1" * 10, "other": b"2" * 3_000_000}
    kaggle.orders["GET"] = [None, fault]
    assert kernel.main(["output", FOLDER]) == 2
    assert one_line(capsys)
    assert list(Path("runs").iterdir()) == []
    kaggle.orders.clear()
    assert kernel.main(["output", FOLDER]) == 0


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "a/../../escaped", "..\\escaped", "a\nb"])
def test_a_file_that_would_leave_the_folder_is_refused(kaggle, pushed, capsys, name):
    kaggle.outputs = {name: b"x"}
    assert kernel.main(["output", FOLDER]) == 2
    assert "must lie in its output" in one_line(capsys)
    assert list(Path("runs").iterdir()) == []
    assert not Path("escaped").exists()


def test_output_where_nothing_can_be_written_is_refused_at_once(kaggle, pushed, capsys):
    Path("file").write_text("mine")
    asked = len(kaggle.requests)
    assert kernel.main(["output", FOLDER, "--output-dir", "file/new"]) == 2
    assert one_line(capsys)
    assert len(kaggle.requests) == asked


def test_a_kernel_that_has_left_nothing_is_told(kaggle, pushed, capsys):
    assert kernel.main(["output", FOLDER]) == 2
    assert "must have left something to fetch, but has not" in one_line(capsys)
