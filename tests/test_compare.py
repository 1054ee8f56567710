import numpy as np
import pytest
from conftest import write_run

from digit_recognizer import compare as door

TRAIN, TEST = np.arange(60) % 10, np.full((20, 10), 0.1)


def one_hot(labels, sure=0.9):
    return np.full((len(labels), 10), (1 - sure) / 9) + (sure - (1 - sure) / 9) * np.eye(10)[labels]


def write_wrong_run(folder, data_dir, wrong, **metrics):
    """A run that has the rows `wrong` wrong, and all others right."""
    labels = TRAIN.copy()
    labels[wrong] = 9 - labels[wrong]
    return write_run(folder, data_dir, one_hot(labels), TEST, **metrics)


def compare(capsys, *arguments):
    code = door.main([*map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_better_run_is_named_with_its_lead(tiny_dir, tmp_path, capsys):
    good = write_wrong_run(tmp_path / "good", tiny_dir, [0])
    bad = write_wrong_run(tmp_path / "bad", tiny_dir, range(1, 13))
    for first, second in [(good, bad), (bad, good)]:
        code, out, _ = compare(capsys, first, second, "--input-dir", tiny_dir)
        assert code == 0
        figures = [line.split()[-1] for line in out.splitlines()[:2]]
        assert figures == (["0.98333", "0.80000"] if first == good else ["0.80000", "0.98333"])
        assert f"{good} is better by 18.33 percentage points" in out
        assert f"p = {2 * 14 / 2**13:.3g}" in out and "60 of 60" in out
        assert "other seeds" in out


def test_a_lead_of_few_rows_is_no_difference(tiny_dir, tmp_path, capsys):
    runs = [write_wrong_run(tmp_path / str(n), tiny_dir, range(n)) for n in (1, 4)]
    _, out, _ = compare(capsys, *runs, "--input-dir", tiny_dir)
    assert "no difference that these rows can show" in out and "is better" not in out


def test_runs_know_where_their_rows_are(tiny_dir, tmp_path, capsys):
    runs = [write_wrong_run(tmp_path / str(n), tiny_dir, range(n)) for n in (0, 12)]
    assert "0 is better by 20.00" in compare(capsys, *runs)[1]
    (runs[0] / "config.json").write_text("{}")  # of a run that does not say it: in input/, where there is nothing
    code, _, err = compare(capsys, *runs)
    assert code == 2 and "input/train.csv" in err


def test_only_rows_that_both_held_out_are_compared(tiny_dir, tmp_path, capsys):
    half = one_hot(TRAIN)
    half[30:] = np.nan
    part = write_run(tmp_path / "part", tiny_dir, half, TEST)
    whole = write_wrong_run(tmp_path / "whole", tiny_dir, range(30, 60))
    _, out, _ = compare(capsys, part, whole, "--input-dir", tiny_dir)
    assert [line.split()[-1] for line in out.splitlines()[:2]] == ["1.00000", "1.00000"]
    assert "30 of 60" in out


def test_runs_that_cannot_be_compared_are_refused_in_one_line(tiny_dir, tmp_path, capsys):
    run = write_wrong_run(tmp_path / "run", tiny_dir, [0])
    halves = [one_hot(TRAIN), one_hot(TRAIN, 0.8)]
    halves[0][30:], halves[1][:30] = np.nan, np.nan
    early, late = (write_run(tmp_path / f"half{n}", tiny_dir, half, TEST) for n, half in enumerate(halves))
    others = {
        "same out-of-fold predictions": (run, run),
        "no row in common": (early, late),
        "another train.csv": (run, write_wrong_run(tmp_path / "other", tiny_dir, [1], train_sha256="0" * 64)),
        "must cover all 60 rows": (write_run(tmp_path / "few", tiny_dir, one_hot(TRAIN[:50]), TEST), run),
        "but has 9": (write_run(tmp_path / "nine", tiny_dir, one_hot(TRAIN)[:, :9], TEST), run),
        "must be a run folder": (run, tmp_path / "nowhere"),
    }
    for words, pair in others.items():
        for one, other in (pair, pair[::-1]):
            code, out, err = compare(capsys, one, other, "--input-dir", tiny_dir)
            assert (code, out) == (2, "")
            assert words in err and err.count("\n") == 1 and err.startswith("compare: ")


@pytest.mark.parametrize("runs", [["one"], ["one", "two", "three"]])
def test_two_runs_are_compared_no_fewer_and_no_more(runs, capsys):
    code, _, err = compare(capsys, *runs)
    assert code == 2 and err.count("\n") == 1
