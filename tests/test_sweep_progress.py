"""The line per trial, and the time that it says is left."""

import pytest
from sweep_records import make_record, make_study

from digit_recognizer.sweeps.sweeping import TrialProgress


@pytest.mark.parametrize(("here", "left"), [(True, "left about 3 min 00 s"), (False, "left about 1 min 30 s")])
def test_the_time_left_follows_from_how_many_trials_are_made_at_once(here, left, monkeypatch, capsys):
    clock = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    study = make_study(grids=({"batch_size": (10, 20, 30, 40, 50)},), seeds=1)
    progress = TrialProgress(study, [], here=here)
    clock[0] += 60  # two machines, a trial of a minute each
    for size in (10, 20):
        progress.tell(make_record(study, {"batch_size": size}, 0, 0.9, seconds=60.0))
    assert capsys.readouterr().out.splitlines()[-1].endswith(left)
