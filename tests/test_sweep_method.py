"""What a sweep's page says of its method and its limits."""

import dataclasses

from sweep_records import make_grid, make_records

from digit_recognizer.sweeps.report import describe_method, list_limits
from digit_recognizer.sweeps.statistics import summarise_settings


def tell_limits(study, records):
    return " ".join(list_limits(study, records, summarise_settings(study, records)))


def test_limits_go_by_the_seeds_that_were_run():
    study = make_grid(seeds=5)
    records = make_records(study, lambda one: 0.9)
    one, two, three = (tell_limits(study, [record for record in records if record.seed < seeds]) for seeds in (1, 2, 3))
    assert "There is one seed: what another would change" in one and "holds out rows of its own" not in one
    assert "Two seeds give intervals so wide" in two and "There is one seed" not in two
    assert "There are 3 seeds: intervals are wide" in three and "holds out rows of its own" in three


def test_rows_time_and_names_are_told_as_one_reads_them():
    study = make_grid(seeds=1)
    records = [
        dataclasses.replace(
            one, confusion=((rows,),), fitted_rows=500, seconds=1.5, circumstances={"classes": ["a", "b"]}
        )
        for one, rows in zip(make_records(study, lambda one: 0.9), (258, 260, 262, 258, 258, 258), strict=True)
    ]
    told = dict(describe_method(study, records).table)
    assert (told["rows held out in each run"], told["rows fitted"]) == ("258 to 262", "500")
    assert (told["time of computing"], told["classes"]) == ("9 s", "a, b")
