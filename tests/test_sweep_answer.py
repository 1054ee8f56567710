"""What a sweep's page says first: the answer, made from the numbers."""

import dataclasses
import re

import pytest
from sweep_records import make_grid, make_record, make_records, make_study

from digit_recognizer.sweeps.report import MOST_TOLD, describe_answer
from digit_recognizer.sweeps.statistics import measure_effects, summarise_settings
from digit_recognizer.sweeps.study import Claim, Range


def tell(study, records):
    """The sentences of the section, in their order."""
    (section,) = describe_answer(study, records, summarise_settings(study, records))
    assert section.title == "What these runs say"
    return section.paragraphs


def fall(setting):
    return 0.95 - 0.05 * setting["net.dropout"]


def test_the_best_setting_is_named_with_its_accuracy_and_that_it_was_chosen_on_its_rows():
    study = make_grid(seeds=5)
    records = make_records(study, fall, noise=0)
    words = tell(study, records)[0]
    assert "The best of 6 settings is dropout 0.3, batch_size 40: its accuracy is 0.9350 on held-out rows" in words
    assert "the mean over 5 seeds. It was chosen on these rows, so this number flatters it." in words
    assert "So far" not in words and "So far 7 of 30 runs have ended" in tell(study, records[:7])[0]


def test_an_effect_is_a_sentence_with_its_direction_its_size_and_its_interval():
    study = make_grid(seeds=5)
    records = make_records(study, fall, noise=0.0005)
    effect = next(one for one in measure_effects(study, records) if (one.value, one.reference) == (0.7, 0.3))
    shown, none = tell(study, records)[1:]
    assert shown == (
        f"Accuracy is lower by {-effect.mean:.4f} (interval {-effect.high:.4f} to {-effect.low:.4f}) at dropout 0.7 "
        "than at 0.3; this is the largest of the 3 differences that 3 comparisons show."
    )
    assert re.fullmatch(
        r"Of batch_size no effect is shown: the largest difference, [+-]0\.000\d at 150 compared with 40, has an "
        r"interval from -0\.00\d\d to \+0\.00\d\d, which holds 0\.",
        none,
    )


def test_the_interval_of_a_rise_begins_with_its_lower_end_and_ends_where_accuracies_do():
    study = make_study(grids=({"batch_size": (40, 80)},), seeds=2)
    records = [
        make_record(study, {"batch_size": size}, seed, accuracy)
        for size, accuracies in ((40, (0.1, 0.13)), (80, (0.9, 0.98)))
        for seed, accuracy in enumerate(accuracies)
    ]
    (effect,) = measure_effects(study, records)
    assert 0 < effect.low < effect.mean < 1 < effect.high
    words = f"Accuracy is higher by 0.8250 (interval {effect.low:.4f} to 1.0000) at batch_size 80 than at 40."
    assert tell(study, records)[1] == words


@pytest.mark.parametrize(
    ("expects", "slope", "words"),
    [
        ("lower", -0.05, "is supported: accuracy is lower by 0.0"),
        ("higher", -0.05, "is contradicted: accuracy is lower by 0.0"),
        ("lower", 0, "is neither supported nor contradicted: the difference at dropout 0.7 compared with 0.3 may be"),
        ("none", 0, "is not contradicted, nor proved: at dropout 0.7 compared with 0.3 a difference from -0.0"),
    ],
)
def test_each_claim_has_its_verdict_in_a_sentence(expects, slope, words):
    study = make_grid(seeds=5, claims=(Claim("It is so.", "net.dropout", 0.3, 0.7, expects),))
    records = make_records(study, lambda one: 0.9 + 2 * slope * one["net.dropout"])
    assert tell(study, records)[-1].startswith(f"The document's claim “It is so” {words}")


def test_what_is_undecided_says_why():
    claim = Claim("It is so.", "batch_size", 40, 80, "none")
    one_pair = make_study(grids=({"batch_size": (40, 80)},), seeds=1, claims=(claim,))
    records = make_records(one_pair, lambda one: 0.9)
    _, parameter, judged = tell(one_pair, records)
    assert parameter.startswith("Of batch_size nothing can be said: each comparison is of one pair of runs")
    assert "is undecided, for batch_size 80 compared with 40: one pair of runs does not show what chance" in judged
    assert "no two runs that have finished differ in it alone" in tell(one_pair, records[:1])[1]
    ranges = {"learning_rate": Range(1e-4, 1e-1, log=True), "net.dropout": Range(0.0, 0.7), "batch_size": (40, 80)}
    search = make_study(method="tpe", trials=1, ranges=ranges, seeds=1)
    record = make_record(search, {"learning_rate": 0.00123456, "net.dropout": 0.5, "batch_size": 40}, 0, 0.9)
    best, drawn, chosen = tell(search, [record])
    assert best.startswith("The accuracy of the one setting is 0.9000 on held-out rows, in one seed.")
    assert drawn.startswith("Of learning_rate and dropout nothing can be said: each run drew a value of its own")
    assert chosen.startswith("Of batch_size nothing can be said: no two runs")


def test_of_many_parameters_and_claims_the_first_are_told_and_the_rest_counted():
    names = ("batch_size", "epochs", "limit_train", "folds", "split_seed", "net.a", "net.b")
    claims = tuple(Claim(f"Claim of {name}.", name, 2, 3, "none") for name in names)
    study = make_study(grids=(dict.fromkeys(names, (2, 3)),), seeds=2, claims=claims)
    told = tell(study, make_records(study, lambda one: 0.8 + 0.05 * one["net.b"], noise=0.0001))
    assert len(told) == 1 + 2 * (MOST_TOLD + 1) and "at b 3 than at 2" in told[1]
    assert told[MOST_TOLD + 1] == "What 2 more parameters change stands in the tables below."
    assert told[-1] == "The verdicts on 2 more claims stand in their table below."


def test_where_no_run_has_finished_there_is_no_answer():
    study = make_grid(seeds=1)
    failed = [dataclasses.replace(one, state="failed", accuracy=None) for one in make_records(study, fall)]
    assert describe_answer(study, [], summarise_settings(study, [])) == []
    assert tell(study, failed) == ("No run has finished, so that there is no accuracy to speak of.",)


def test_an_effect_that_depends_on_another_parameter_is_told_with_both_of_its_sizes():
    study = make_grid(seeds=5, claims=(Claim("Less.", "net.dropout", 0.3, 0.7, "lower", where={"batch_size": 40}),))
    turned = {40: -0.1, 150: 0.1}
    records = make_records(study, lambda one: 0.9 + turned[one["batch_size"]] * one["net.dropout"], noise=0.0)
    *_, depends, claim = tell(study, records)
    assert depends.startswith(
        "What dropout does depends on batch_size: 0.7 in place of 0.3 changes accuracy by -0.0400 at batch_size 40 and "
        "by +0.0400 at 150; the second minus the first has an interval from +0.0"
    )
    assert claim.startswith("The document's claim “Less” (for batch_size 40) is supported: accuracy is lower by 0.0400")


def test_of_many_dependences_three_are_told():
    names = [f"net.p{number}" for number in range(4)]
    study = make_study(grids=(dict.fromkeys(names, (0, 1)),), seeds=3)
    records = make_records(study, lambda one: 0.5 + 0.1 * sum(one[name] for name in names) ** 2 / 16, noise=0.0001)
    told = [words for words in tell(study, records) if "depend" in words]
    assert len(told) == 4 and told[-1] == "3 more such dependences stand in their table below."
