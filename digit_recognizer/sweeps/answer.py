"""What the runs of a sweep say to its question, in a few plain sentences made from their numbers."""

from collections.abc import Sequence

from digit_recognizer.inspection.sections import Section
from digit_recognizer.sweeps.claims import JudgedClaim, judge_claims
from digit_recognizer.sweeps.comparisons import list_values
from digit_recognizer.sweeps.effects import Effect, measure_effects
from digit_recognizer.sweeps.interactions import Interaction, measure_interactions
from digit_recognizer.sweeps.method import count_planned, is_under_way
from digit_recognizer.sweeps.spread import SettingSummary, rank_settings
from digit_recognizer.sweeps.study import Study
from digit_recognizer.sweeps.tables import (
    label_setting,
    label_values,
    name_parameter,
    show_accuracy,
    show_difference,
    show_interval,
    show_value,
)
from digit_recognizer.sweeps.trials import TrialRecord

MOST_INTERACTIONS = 3
MOST_TOLD = 5  # parameters, and as many claims: of more sentences nobody would read the first


def describe_answer(study: Study, records: Sequence[TrialRecord], summaries: Sequence[SettingSummary]) -> list[Section]:
    """The best setting, a sentence for each parameter and one for each claim; empty before any run has ended."""
    if not records:
        return []
    title = "What these runs say"
    if not rank_settings(summaries):
        return [Section(title, ("No run has finished, so that there is no accuracy to speak of.",))]
    effects = measure_effects(study, records)
    claims = judge_claims(study, effects, records) if effects else []
    told = [_tell_claim(one) for one in claims[:MOST_TOLD]]
    if (left := len(claims) - MOST_TOLD) > 0:
        told.append(f"The verdicts on {left} more claims stand in their table below.")
    parameters = _tell_parameters(study, effects)
    supported = [one for one in measure_interactions(study, records) if one.change.supported]
    supported.sort(key=lambda one: -abs(one.change.mean or 0))
    depending = [_tell_interaction(one) for one in supported[:MOST_INTERACTIONS]]
    if (left := len(supported) - MOST_INTERACTIONS) > 0:
        depending.append(f"{left} more such dependences stand in their table below.")
    return [Section(title, (_tell_best(study, records, summaries), *parameters, *depending, *told))]


def _tell_best(study: Study, records: Sequence[TrialRecord], summaries: Sequence[SettingSummary]) -> str:
    ranked = rank_settings(summaries)
    best = ranked[0]
    seeds = f"the mean over {len(best.done)} seeds" if len(best.done) > 1 else "in one seed"
    if len(ranked) > 1:
        words = (
            f"The best of {len(ranked):,} settings is {label_setting(study, best.setting)}: its accuracy is "
            f"{show_accuracy(best.mean)} on held-out rows, {seeds}. It was chosen on these rows, so this number "
            "flatters it."
        )
    else:
        words = f"The accuracy of the one setting is {show_accuracy(best.mean)} on held-out rows, {seeds}."
    planned = count_planned(study)
    if planned is not None and is_under_way(study, records):
        words += f" So far {len(records):,} of {planned:,} runs have ended, and all that is said here may yet change."
    return words


def _tell_parameters(study: Study, effects: Sequence[Effect]) -> list[str]:
    """A sentence for each parameter, those with an effect first; parameters that share a reason share the sentence."""
    shown, none, why = [], [], dict[str, list[str]]()
    for parameter in study.parameters:
        compared = [one for one in effects if one.parameter == parameter and one.low is not None]
        compared.sort(key=lambda one: -abs(one.mean or 0))
        supported = [one for one in compared if one.supported]
        if supported:
            shown.append(_tell_difference(supported, len(compared)))
        elif compared:
            none.append(_tell_none(compared[0]))
        else:
            reason = _find_reason(study, parameter, effects)
            why.setdefault(reason, []).append(name_parameter(parameter))
    undecided = [f"Of {_join(names)} nothing can be said: {reason}." for reason, names in why.items()]
    told = [*shown, *none, *undecided]
    if (left := len(told) - MOST_TOLD) > 0:
        return [*told[:MOST_TOLD], f"What {left} more parameters change stands in the tables below."]
    return told


def _tell_difference(supported: Sequence[Effect], compared: int) -> str:
    """The largest difference that the runs support, and of how many comparisons."""
    words = _tell_change(supported[0])
    words = f"{words[0].upper()}{words[1:]}"
    if compared == 1:
        return f"{words}."
    if len(supported) == 1:
        return f"{words}; none of the {compared - 1} other comparisons of this parameter shows a difference."
    return f"{words}; this is the largest of the {len(supported)} differences that {compared} comparisons show."


def _tell_change(effect: Effect) -> str:
    """A supported effect as a clause: "accuracy is higher by 0.0120 (interval …) at dropout 0.3 than at 0.7"."""
    mean, low, high = effect.mean or 0.0, effect.low or 0.0, effect.high or 0.0
    near, far = sorted((abs(low), min(abs(high), 1.0)) if mean > 0 else (abs(high), min(abs(low), 1.0)))
    return (
        f"accuracy is {effect.verdict} by {abs(mean):.4f} (interval {show_difference(near)[1:]} to {far:.4f}) at "
        f"{name_parameter(effect.parameter)} {show_value(effect.value)} than at {show_value(effect.reference)}"
        f"{', in one seed alone' if effect.seeds == 1 else ''}"
    )


def _tell_interaction(found: Interaction) -> str:
    """That a parameter's effect is another where a second parameter is another, so that its mean holds for neither."""
    change, name, other = found.change, name_parameter(found.change.parameter), name_parameter(found.other)
    return (
        f"What {name} does depends on {other}: {show_value(change.value)} in place of {show_value(change.reference)} "
        f"changes accuracy by {show_difference(found.at_reference)} at {other} {show_value(found.reference)} and by "
        f"{show_difference(found.at_value)} at {show_value(found.value)}; the second minus the first has an interval "
        f"from {show_interval(change.low, change.high)}{', in one seed alone' if change.seeds == 1 else ''}."
    )


def _tell_none(effect: Effect) -> str:
    """That no effect is shown, with the comparison whose mean is the furthest from 0."""
    name = name_parameter(effect.parameter)
    return (
        f"Of {name} no effect is shown: the largest difference, {show_difference(effect.mean)} at "
        f"{show_value(effect.value)} compared with {show_value(effect.reference)}, has an interval from "
        f"{show_interval(effect.low, effect.high)}, which holds 0{', in one seed alone' if effect.seeds == 1 else ''}."
    )


def _find_reason(study: Study, parameter: str, effects: Sequence[Effect]) -> str:
    """Why no comparison of a parameter has an interval."""
    if not list_values(study, parameter):
        return "each run drew a value of its own from a range, so that no two runs differ in it alone"
    if all(one.mean is None for one in effects if one.parameter == parameter):
        return "no two runs that have finished differ in it alone"
    return "each comparison is of one pair of runs, which does not show what chance does; more seeds would"


def _tell_claim(judged: JudgedClaim) -> str:
    effect = judged.effect
    claim = f"The document's claim “{judged.claim.says.rstrip('.')}”"
    if judged.claim.where:
        claim += f" (for {label_values(judged.claim.where)})"
    pair = f"{name_parameter(effect.parameter)} {show_value(effect.value)} compared with {show_value(effect.reference)}"
    alone = ", in one seed alone" if effect.seeds == 1 else ""
    interval = show_interval(effect.low, effect.high)
    if judged.verdict == "supported" and judged.claim.expects == "none":
        return (
            f"{claim} is supported: at {pair} the difference is from {interval}, all of it smaller than "
            f"the study's margin of {judged.claim.margin:g}{alone}."
        )
    if judged.verdict in ("supported", "contradicted"):
        return f"{claim} is {judged.verdict}: {_tell_change(effect)}."
    if judged.verdict == "none":
        return (
            f"{claim} is neither supported nor contradicted: the difference at {pair} may be anything from {interval}"
            f"{alone}."
        )
    if judged.verdict == "not refuted":
        return f"{claim} is not contradicted, nor proved: at {pair} a difference from {interval} is possible{alone}."
    why = "no two runs that have finished differ in it alone"
    if effect.mean is not None:
        why = "one pair of runs does not show what chance does; more seeds would"
    return f"{claim} is undecided, for {pair}: {why}."


def _join(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
