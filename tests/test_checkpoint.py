"""The state file itself: what goes in comes out, and nothing that was damaged does."""

import os
from dataclasses import replace

import numpy as np
import pytest

from digit_recognizer.io import write_atomically
from digit_recognizer.training.checkpoint import (
    PREVIOUS,
    STATE,
    RunState,
    TrainingState,
    load_checkpoint,
    pack_state,
    remove_checkpoint,
    save_checkpoint,
    unpack_state,
)


def make_state(epoch=3):
    rng = np.random.default_rng(epoch)
    training = TrainingState(
        phase=1,
        epoch=epoch,
        stopped=False,
        counters={"EarlyStopping": {"wait": 2, "stopped_epoch": 0, "best": 0.1, "best_epoch": 1}},
        history=[{"fold": 1, "epoch": 1, "loss": 0.3}],
        seconds=1.5,
        untrained_accuracy=0.125,
        model=[rng.random((3, 4), np.float32), np.array([1, 2**32 - 1], np.uint32), np.asarray(rng.random((2, 3)).T)],
        optimizer=[np.array(17, np.int64), np.array(1e-3, np.float32)],
        best_weights=[rng.random(5, np.float32)],
    )
    oof = rng.random((6, 10), np.float32)
    oof[2:] = np.nan
    return RunState(
        "mine",
        oof=oof,
        test=rng.random((4, 10), np.float32),
        finished_folds=1,
        history=[{"fold": 0, "epoch": 1, "loss": 0.1}],
        trainings={1: training, 2: replace(training, epoch=7, model=training.model[:1])},
    )


def test_epochs_are_counted_where_early_stopping_left_some_out():
    state = make_state(epoch=16)  # fine-tuning counts on from the epochs planned before it
    assert [state.count_finished_epochs(fold) for fold in (0, 1, 2)] == [0, 1, 1]


def assert_equal(one, other):
    for name in ("run", "finished_folds", "history", "elapsed_seconds", "training_seconds", "submission"):
        assert getattr(one, name) == getattr(other, name)
    np.testing.assert_array_equal(one.oof, other.oof)
    np.testing.assert_array_equal(one.test, other.test)
    assert one.trainings.keys() == other.trainings.keys()
    for fold, training in one.trainings.items():
        same = other.trainings[fold]
        for name in ("phase", "epoch", "stopped", "counters", "history", "seconds", "untrained_accuracy"):
            assert getattr(training, name) == getattr(same, name)
        for name in ("model", "optimizer", "best_weights"):
            pairs = zip(getattr(training, name), getattr(same, name), strict=True)
            assert all(a.dtype == b.dtype and a.shape == b.shape and (a == b).all() for a, b in pairs)


def test_what_goes_in_comes_out(tmp_path):
    for state in (
        make_state(),
        RunState("mine", oof=np.zeros((2, 10), np.float32), test=np.zeros((1, 10), np.float32)),
    ):
        save_checkpoint(tmp_path, state)
        loaded, complaints = load_checkpoint(tmp_path, "mine")
        assert_equal(loaded, state)
        assert complaints == []


def test_the_file_is_plain_safetensors(tmp_path):
    from safetensors import safe_open

    save_checkpoint(tmp_path, make_state())
    with safe_open(tmp_path / STATE, "numpy") as file:
        assert set(file.metadata()) == {"state", "sha256"}
        np.testing.assert_array_equal(file.get_tensor("1.model.1"), [1, 2**32 - 1])


def test_every_flipped_byte_is_noticed():
    content = pack_state(make_state())
    rng = np.random.default_rng(0)
    places = range(len(content)) if len(content) < 5000 else rng.integers(len(content), size=5000)
    for place in places:
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(rng.integers(8))
        with pytest.raises(ValueError):
            unpack_state(bytes(flipped))


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 100, -1])
def test_a_file_cut_short_is_noticed(cut):
    with pytest.raises(ValueError):
        unpack_state(pack_state(make_state())[:cut])


def test_appended_bytes_are_noticed():
    with pytest.raises(ValueError):
        unpack_state(pack_state(make_state()) + b"\0")


def test_a_damaged_checkpoint_is_replaced_by_the_one_before(tmp_path):
    save_checkpoint(tmp_path, make_state(1))
    save_checkpoint(tmp_path, make_state(2))
    assert load_checkpoint(tmp_path, "mine")[0].trainings[1].epoch == 2
    (tmp_path / STATE).write_bytes((tmp_path / STATE).read_bytes()[:-1])
    loaded, complaints = load_checkpoint(tmp_path, "mine")
    assert loaded.trainings[1].epoch == 1
    assert len(complaints) == 1 and STATE in complaints[0] and "\n" not in complaints[0]
    (tmp_path / PREVIOUS).write_bytes(b"")
    loaded, complaints = load_checkpoint(tmp_path, "mine")
    assert loaded is None and len(complaints) == 1
    assert not list(tmp_path.iterdir()), "what is of no use does not become the generation before the next"


def test_a_writer_killed_between_the_two_renames_leaves_the_generation_before(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, make_state(1))
    save_checkpoint(tmp_path, make_state(2))
    (tmp_path / STATE).replace(tmp_path / PREVIOUS)  # what the first rename does
    loaded, complaints = load_checkpoint(tmp_path, "mine")
    assert loaded.trainings[1].epoch == 2 and complaints == []


def test_a_failed_save_leaves_both_generations(tmp_path):
    save_checkpoint(tmp_path, make_state(1))
    save_checkpoint(tmp_path, make_state(2))
    before = {name: (tmp_path / name).read_bytes() for name in (STATE, PREVIOUS)}
    with pytest.raises(RuntimeError), write_atomically(tmp_path / STATE, previous=tmp_path / PREVIOUS):
        raise RuntimeError
    assert {name: (tmp_path / name).read_bytes() for name in (STATE, PREVIOUS)} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(before)


def test_a_finished_run_keeps_no_state(tmp_path):
    save_checkpoint(tmp_path, make_state(1))
    save_checkpoint(tmp_path, make_state(2))
    remove_checkpoint(tmp_path)
    assert load_checkpoint(tmp_path, "mine") == (None, [])


def test_another_runs_checkpoint_is_not_used(tmp_path):
    save_checkpoint(tmp_path, make_state())
    loaded, complaints = load_checkpoint(tmp_path, "another")
    assert loaded is None and len(complaints) == 1 and "another run" in complaints[0]
    assert not list(tmp_path.iterdir()), "or it would become the generation before the next state"


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / STATE)
    save_checkpoint(tmp_path / "other", make_state())
    (tmp_path / "other" / STATE).replace(tmp_path / PREVIOUS)
    loaded, complaints = load_checkpoint(tmp_path, "mine")
    assert_equal(loaded, make_state())
    assert len(complaints) == 1 and "pipe" in complaints[0]
