"""Where one parameter changes what another does."""

import numpy as np
import pytest
from sweep_records import make_grid, make_record, make_records, make_study

from digit_recognizer.sweeps.report import describe_effects
from digit_recognizer.sweeps.statistics import judge_claims, measure_effects, measure_interactions
from digit_recognizer.sweeps.study import Claim

TITLE = "Whether one parameter's effect depends on another"


def crossed(setting):
    """Dropout takes away with small batches and gives with large ones: in the mean it does nothing."""
    sign = 1 if setting["batch_size"] == 150 else -1
    return 0.9 + sign * 0.1 * (setting["net.dropout"] - 0.5)


def add_up(setting):
    return 0.5 + setting["net.dropout"] / 10 + setting["batch_size"] / 1000


def find_section(study, records, title):
    return next(section for section in describe_effects(study, records) if section.title == title)


def test_what_the_mean_hides_is_found():
    study = make_grid(seeds=5)
    records = make_records(study, crossed)
    (effect,) = [one for one in measure_effects(study, records) if (one.value, one.reference) == (0.7, 0.3)]
    assert effect.verdict == "none"
    (found,) = measure_interactions(study, records)
    assert (found.change.parameter, found.change.value, found.change.reference) == ("net.dropout", 0.7, 0.3)
    assert (found.other, found.value, found.reference) == ("batch_size", 150, 40)
    assert (found.at_reference, found.at_value) == pytest.approx((-0.04, 0.04), abs=0.01)
    assert found.change.mean == pytest.approx(found.at_value - found.at_reference)
    assert 0 < found.change.low < 0.08 < found.change.high


def test_of_what_adds_up_one_study_in_twenty_at_most_says_that_it_depends():
    grid = {"net.dropout": (0.3, 0.7), "batch_size": (40, 150), "optimizer": ("adam", "muon")}
    study = make_study(grids=(grid,))
    studies = 400
    wrong = sum(
        any(one.change.supported for one in measure_interactions(study, make_records(study, add_up, seed)))
        for seed in range(studies)
    )
    assert 0 < wrong / studies < 0.05 + 3 * (0.05 * 0.95 / studies) ** 0.5


def test_only_runs_that_have_all_their_partners_count():
    study = make_grid(seeds=2)
    last = {"net.dropout": 0.7, "batch_size": 150}
    records = [one for one in make_records(study, crossed, noise=0.0) if one.setting != last]
    assert measure_interactions(study, records) == []
    (found,) = measure_interactions(study, [*records, make_record(study, last, 0, 0.95)])
    assert (found.change.seeds, found.change.low) == (1, None)
    assert (found.at_reference, found.at_value) == pytest.approx((-0.04, 0.07))


def test_grids_that_differ_are_compared_as_far_as_they_have_both():
    grids = ({"net.dropout": (0.3, 0.7), "batch_size": (40, 150)}, {"optimizer": ("adam", "muon")})
    study = make_study(grids=grids)
    (found,) = measure_interactions(study, make_records(study, lambda one: 0.9))
    assert (found.change.parameter, found.other) == ("net.dropout", "batch_size")


def test_the_page_tells_both_effects_and_keeps_the_table_short():
    study = make_grid(seeds=5)
    table = find_section(study, make_records(study, crossed), TITLE).table
    assert table[1][:2] == ("dropout 0.3 to 0.7", "batch_size 40, 150") and table[1][-1] == "depends"
    wide = make_study(grids=({f"net.p{number}": (1, 2) for number in range(5)},), seeds=2)
    section = find_section(wide, make_records(wide, lambda one: 0.9), TITLE)
    assert len(section.table) == 7 and "Of 10 pairs of parameters 6 are shown" in section.paragraphs[0]


def test_a_claim_about_some_settings_is_judged_by_them():
    claims = [Claim("It is so.", "net.dropout", 0.3, 0.7, "higher", where={"batch_size": size}) for size in (40, 150)]
    study = make_grid(seeds=5, claims=tuple(claims))
    records = make_records(study, crossed)
    judged = judge_claims(study, measure_effects(study, records), records)
    assert [one.verdict for one in judged] == ["contradicted", "supported"]
    assert np.allclose([one.effect.mean for one in judged], [-0.04, 0.04], atol=0.01)
    assert [row[2] for row in find_section(study, records, "The document's claims").table[1:]] == [
        "higher at dropout 0.7 than at 0.3, for batch_size 40",
        "higher at dropout 0.7 than at 0.3, for batch_size 150",
    ]
