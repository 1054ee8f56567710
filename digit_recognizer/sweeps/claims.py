"""Sentences of a document, held against the runs: supported, contradicted, or neither."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from digit_recognizer.sweeps.effects import Effect, measure_effect
from digit_recognizer.sweeps.spread import count_held_out
from digit_recognizer.sweeps.study import Claim, Study
from digit_recognizer.sweeps.trials import TrialRecord

Verdict = Literal["supported", "contradicted", "none", "not refuted", "undecided"]


@dataclass(frozen=True)
class JudgedClaim:
    """A claim and what the runs say to it.

    Attributes:
        claim: of the study.
        effect: of its higher value against its lower one.
        verdict: for a claim of no difference with a margin: "supported" where the whole interval is within the margin,
            "contradicted" where all of it is beyond, else "not refuted". For the others: "supported" or "contradicted"
            where the interval leaves 0 out; "none" where it holds 0 although the claim expects a difference; "not
            refuted" where it holds 0 and none is expected, which a wide interval does as well. "undecided" without an
            interval.
    """

    claim: Claim
    effect: Effect
    verdict: Verdict

    @property
    def words(self) -> str:
        """The verdict as a table has it."""
        effect = self.effect
        if effect.low is None or effect.high is None:
            if effect.mean is None:
                return "undecided: no two runs are equal in all else"
            return "undecided: one pair of runs has no interval"
        seeds = "these seeds show" if effect.seeds > 1 else "this one seed shows"
        if self.verdict == "none":
            return f"neither supported nor contradicted: {seeds} no difference"
        words: str = self.verdict
        if self.verdict == "not refuted":
            words = f"not contradicted, nor proved: the interval is {effect.high - effect.low:.4f} wide"
        return words + (", in one seed alone" if effect.seeds == 1 else "")


def judge_claims(study: Study, effects: Sequence[Effect], records: Sequence[TrialRecord]) -> list[JudgedClaim]:
    """Judge each claim of a study by the effects that `measure_effects` finds in its runs.

    The interval is the one that the table of effects has, adjusted for the parameter's other comparisons, so that no
    claim is called supported by a difference which the table calls none. A claim about certain values of other
    parameters is judged by the runs with these, with the same adjustment. No claim is adjusted for the other claims:
    each is a question of its own, asked before the runs.
    """
    resolution = 1 / (count_held_out(records) or float("inf"))
    judged = []
    for claim in study.claims:
        effect = _find_effect(effects, claim)
        if claim.where:
            own = [one for one in records if all(one.setting.get(name) == it for name, it in claim.where.items())]
            effect = measure_effect(own, claim.parameter, claim.high, claim.low, effect.comparisons, resolution)
        judged.append(JudgedClaim(claim, effect, _judge(claim, effect)))
    return judged


def _find_effect(effects: Sequence[Effect], claim: Claim) -> Effect:
    """The effect of the claim's higher value against its lower one; measured the other way round, it is turned."""
    for effect in effects:
        if effect.parameter != claim.parameter:
            continue
        if (effect.value, effect.reference) == (claim.high, claim.low):
            return effect
        if (effect.reference, effect.value) == (claim.high, claim.low):
            mean, low, high = (None if end is None else -end for end in (effect.mean, effect.high, effect.low))
            return replace(effect, value=claim.high, reference=claim.low, mean=mean, low=low, high=high)
    raise ValueError(f"{claim.parameter} has no comparison of {claim.high} with {claim.low}")


def _judge(claim: Claim, effect: Effect) -> Verdict:
    if effect.low is None or effect.high is None:
        return "undecided"
    if claim.expects == "none" and claim.margin:
        # that there is no difference can only be shown of one that would matter (Schuirmann 1987, two one-sided tests)
        if max(-effect.low, effect.high) < claim.margin:
            return "supported"
        return "contradicted" if max(effect.low, -effect.high) > claim.margin else "not refuted"
    if effect.verdict == "none":
        return "not refuted" if claim.expects == "none" else "none"
    return "supported" if effect.verdict == claim.expects else "contradicted"
