"""What a sweep's page says of effects: of each value, of pairs of parameters, and of what the document claims."""

from collections.abc import Sequence

from digit_recognizer.inspection.sections import Section
from digit_recognizer.sweeps.claims import judge_claims
from digit_recognizer.sweeps.comparisons import MOST_PAIRED
from digit_recognizer.sweeps.effects import ERROR_RATE, Effect, ValueCount, count_states, measure_effects
from digit_recognizer.sweeps.interactions import Interaction, measure_interactions
from digit_recognizer.sweeps.study import Study
from digit_recognizer.sweeps.tables import (
    Row,
    label_values,
    name_parameter,
    show_difference,
    show_interval,
    show_value,
)
from digit_recognizer.sweeps.trials import TrialRecord

MOST_INTERACTIONS = 6  # in the table, unless the runs support more


def describe_effects(study: Study, records: Sequence[TrialRecord]) -> list[Section]:
    """The effects of each parameter, how its runs ended, and the verdicts on what the document claims."""
    effects = measure_effects(study, records)
    if not effects:
        return []
    head = ("parameter", "value", "compared with", "verdict", "difference", "interval", "seeds", "pairs")
    rows: list[Row] = [head, *(_build_effect_row(one) for one in effects)]
    sections = [Section("What each value changes", tuple(_explain_effects(effects)), table=tuple(rows))]
    if interactions := measure_interactions(study, records):
        sections.append(_describe_interactions(interactions))
    if judged := judge_claims(study, effects, records):
        rows = [("the document says", "verdict", "which means", "difference", "interval")]
        for one in judged:
            effect = one.effect
            expected = "no difference" if one.claim.expects == "none" else one.claim.expects
            change = f"{name_parameter(effect.parameter)} {show_value(effect.value)}"
            other = "and" if one.claim.expects == "none" else "than at"
            meant = f"{expected} at {change} {other} {show_value(effect.reference)}"
            if one.claim.where:
                meant += f", for {label_values(one.claim.where)}"
            cells = (meant, show_difference(effect.mean), show_interval(effect.low, effect.high))
            rows.append((one.claim.says, one.words, *cells))
        words = (
            "Each sentence is held against the interval that the table of values has for the two it speaks of, or, if "
            "it is about some settings only, against theirs. Each is a question of its own: if nothing had an effect, "
            "up to one claim in twenty would still be called supported or contradicted. What is not contradicted is "
            "not thereby proved: a wide interval contradicts little."
        )
        sections.append(Section("The document's claims", (words,), table=tuple(rows)))
    counts = count_states(study, records)
    if any(one.failed or one.pruned for one in counts):
        sections.append(_describe_ends(records, counts))
    return sections


def _build_effect_row(effect: Effect) -> tuple[str, ...]:
    verdict = effect.verdict
    if effect.mean is None:
        verdict = "undecided: no pairs"
    elif effect.low is None:
        verdict = "undecided: one pair"
    elif effect.seeds == 1:
        verdict += ", in one seed"
    return (
        name_parameter(effect.parameter),
        show_value(effect.value),
        show_value(effect.reference),
        verdict,
        show_difference(effect.mean),
        show_interval(effect.low, effect.high),
        str(effect.seeds or ""),
        str(effect.pairs or ""),
    )


def _describe_interactions(interactions: Sequence[Interaction]) -> Section:
    """Those that the runs support, and others as long as the table stays short."""
    ordered = sorted(interactions, key=lambda one: (not one.change.supported, -abs(one.change.mean or 0)))
    shown = ordered[: max(MOST_INTERACTIONS, sum(one.change.supported for one in ordered))]
    rows: list[Row] = [("change", "depends on", "there", "and there", "difference", "interval", "verdict")]
    for one in shown:
        change, other = one.change, name_parameter(one.other)
        verdict = "undecided" if change.low is None else "depends" if change.supported else "none"
        rows.append((
            f"{name_parameter(change.parameter)} {show_value(change.reference)} to {show_value(change.value)}",
            f"{other} {show_value(one.reference)}, {show_value(one.value)}",
            show_difference(one.at_reference),
            show_difference(one.at_value),
            show_difference(change.mean),
            show_interval(change.low, change.high),
            verdict + (", in one seed" if change.seeds == 1 and change.low is not None else ""),
        ))  # fmt: skip
    words = (
        "The table before this one averages over all else. Here each change is measured at two values of another "
        "parameter; where the interval of the difference leaves 0 out, the average describes neither. The intervals "
        "hold at 95 % for all lines together (Bonferroni); they are wide, since each is of a difference between two "
        "differences."
    )
    if len(shown) < len(ordered):
        words += f" Of {len(ordered)} pairs of parameters {len(shown)} are shown."
    return Section("Whether one parameter's effect depends on another", (words,), table=tuple(rows))


def _explain_effects(effects: Sequence[Effect]) -> list[str]:
    paragraphs = [
        "Each line compares runs that are equal in all else, the seed too: the mean accuracy at the value minus that "
        "at the other. A value is compared with the one that most settings have, or else the first, of numbers the "
        "highest with the lowest too, and with whatever the document speaks of; of a parameter with at most "
        f"{MOST_PAIRED} values all pairs are compared."
    ]
    if any(effect.seeds > 1 for effect in effects):
        paragraphs.append(
            "Each seed gives one number, the mean over its pairs of runs, and the interval is Student's t over the "
            "seeds, at 95 % for all lines of a parameter together (Bonferroni). Where it holds 0, the seeds do not "
            "support a difference, and the verdict is none, however large the difference seems."
        )
    if any(effect.seeds == 1 for effect in effects):
        paragraphs.append(
            "Where there is one seed, the interval is over its pairs of runs: what another seed would change is not in "
            "it."
        )
    if any(effect.mean is None for effect in effects):
        paragraphs.append("Where no two runs are equal in all else, nothing can be compared.")
    judged = {effect.parameter for effect in effects if effect.low is not None}
    if len(judged) > 1:
        by_chance = 100 * (1 - (1 - ERROR_RATE) ** len(judged))
        paragraphs.append(
            f"The 5 % hold for each parameter: of {len(judged)} parameters without any effect, one or more would show "
            f"a difference in up to {by_chance:.0f} % of studies."
        )
    return paragraphs


def _describe_ends(records: Sequence[TrialRecord], counts: Sequence[ValueCount]) -> Section:
    rows = [("parameter", "value", "finished", "failed", "pruned")]
    for one in counts:
        cells = (str(one.done), str(one.failed), str(one.pruned))
        rows.append((name_parameter(one.parameter), show_value(one.value), *cells))
    reasons = [record.reason or "no reason told" for record in records if record.state == "failed"]
    told = "; ".join(f"{reason} ({reasons.count(reason)})" for reason in dict.fromkeys(reasons))
    words = [
        "Runs that failed, or were given up as hopeless, are in no mean and no comparison. A value whose runs fail "
        "looks better than it is, since its failures are not among them."
    ]
    if told:
        words.append(f"Why they failed, and how many: {told}.")
    return Section("Runs that did not finish", tuple(words), table=tuple(rows))
