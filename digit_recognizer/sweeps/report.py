"""What a sweep leaves to be read: results.csv, figures, and page.html, which shows figures and tables with verdicts."""

import json
import shlex
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from digit_recognizer.console import format_seconds, print_line
from digit_recognizer.data.csv import CLASSES
from digit_recognizer.errors import InputError
from digit_recognizer.io import check_writable_folder, is_foreign, write_csv, write_text
from digit_recognizer.models import load_preset
from digit_recognizer.reporting.error_report import find_repeated_confusions
from digit_recognizer.reporting.html import GENERATOR, FigureFile, Section, build_facts, build_page, escape_html
from digit_recognizer.reporting.plots import (
    ACCENT_COLOUR,
    HELD_OUT_COLOUR,
    TRAINING_COLOUR,
    open_figure,
    plot_confusion_matrix,
    plot_learning_curves,
    save_figure,
    shorten,
)
from digit_recognizer.sweeps.ensembles import (
    ENSEMBLES,
    MOST_CHOICES,
    describe_configuration,
    load_ensembles,
    merge_ensembles,
)
from digit_recognizer.sweeps.statistics import (
    ACCURACY,
    BASE,
    ERROR_RATE,
    LEAST_SHARE,
    NO_EFFECT,
    NOT_TESTED,
    SEED,
    Effect,
    Plateau,
    Summary,
    build_frame,
    find_plateau,
    find_resolution,
    judge_claims,
    measure_effects,
    measure_importance,
    measure_interactions,
    number_bases,
    rank,
    select_records,
    summarize,
)
from digit_recognizer.sweeps.study import (
    SET_BY_SWEEP,
    Configuration,
    Range,
    Study,
    Value,
    are_numbers,
    find_reported,
    is_option,
    label_configuration,
    name_parameter,
    show_value,
)
from digit_recognizer.sweeps.trials import TRIALS, TrialRecord, find_next_trials

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE, TABLE, FIGURES = "page.html", "results.csv", "figures"
CSV_START = "trial,"  # by which our table is recognized
MOST_ROWS = 24  # of a table of results; of more configurations the best and the worst, or nobody would read them
BEST_ROWS, WORST_ROWS = 10, 5
MOST_CURVES, BEST_CURVES = 8, 4  # panels of learning curves; of more configurations the best, the median and the worst
MOST_PAIRS = 12  # of confused classes
MOST_INTERACTIONS = 6  # in the table, unless more are significant
MOST_ENSEMBLES = 8  # configurations, and columns
CHOICES = {"grid": "every combination of the grids", "random": "random draws", "tpe": "TPE search"}
NOT_SHOWN = (*SET_BY_SWEEP, "tensorboard", "model_args", "limit_test")


@dataclass(frozen=True)
class Results:
    """All that the page of a sweep is made of.

    Attributes:
        study: as its file reads now.
        records: of its trials, in the order of results.csv.
        summaries: of its configurations.
        folder: of the sweep.
        left_out: trials in the table that the study, as it reads now, would not make.
    """

    study: Study
    records: list[TrialRecord]
    summaries: list[Summary]
    folder: Path
    left_out: int = 0

    @classmethod
    def of(cls, study: Study, records: Sequence[TrialRecord], folder: Path) -> "Results":
        """The results of a study; `records` are all that trials.jsonl holds."""
        ours = select_records(study, records)
        order = {json.dumps(one, sort_keys=True): place for place, one in enumerate(study.configurations)}
        # machines finish in whatever order
        ours.sort(key=lambda one: (one.seed, order.get(json.dumps(one.configuration, sort_keys=True), 0)))
        return cls(study, ours, summarize(study, ours), folder, len(records) - len(ours))

    @property
    def ranked(self) -> list[Summary]:
        """The configurations with a finished run, the best first."""
        return rank(self.summaries)

    @property
    def class_names(self) -> list[str]:
        """By ascending label."""
        names = self.records[0].environment.get("classes") if self.records else None
        return [str(name) for name in names or range(CLASSES)]

    def draw(self, name: str, figure: "Figure", caption: str) -> FigureFile:
        """Write a figure into the sweep's folder."""
        path = self.folder / FIGURES / f"{name}.png"
        save_figure(figure, path)
        return FigureFile(path, caption)


def write_results(source: Path, study: Study, records: Sequence[TrialRecord], folder: Path) -> None:
    """Write a sweep's table, figures and page, and print where they are; of a sweep under way, what is known so far.

    Args:
        source: the study's file, as the command that repeats it names it.
        study: as read from there.
        records: all that the sweep's table holds; nothing is written of none.
        folder: of the sweep; an earlier page, table and figures there are replaced.
    """
    if not records:
        return
    check_results(folder)
    results = Results.of(study, records, folder)
    write_trial_table(results, folder / TABLE)
    parts: list[Callable[[Results], Section | None]] = [
        describe_question, describe_results, describe_effects, describe_interactions, describe_importance,
        describe_learning_curves, describe_confusions, describe_ensembles, describe_claims, describe_unfinished,
        describe_method, describe_limits, describe_conclusion,
    ]  # fmt: skip
    sections = [section for part in parts if (section := part(results)) is not None]
    command = [("Command", _build_command(study, source))]
    write_text(folder / PAGE, build_page(study.title, _build_header(results), sections, command))
    print_line(f"page: {folder / PAGE}; every trial: {folder / TABLE}")


def check_results(folder: Path) -> None:
    """Find out, before hours of work, whether the results can be written.

    Raises:
        InputError: if the folder cannot be written to, or holds another's page or table under the names of ours.
    """
    check_writable_folder(folder)
    check_writable_folder(folder / FIGURES)
    for name, mark in ((PAGE, GENERATOR), (TABLE, CSV_START)):
        if is_foreign(folder / name, mark):
            raise InputError("sweep.foreign_file", path=folder / name)


def write_trial_table(results: Results, path: Path) -> None:
    """Write results.csv: a line per run, with cells that no spreadsheet takes for formulas."""
    varied = results.study.parameters
    found = dict.fromkeys(name for one in results.records for name in one.configuration)
    names = sorted(found, key=lambda name: varied.index(name) if name in varied else len(varied))
    rows = [
        {
            "trial": one.name,
            **{name: one.configuration.get(name, "") for name in names},
            "seed": one.seed,
            "state": one.state,
            "reason": one.reason,
            "untrained": one.untrained,
            "accuracy": one.accuracy,
            "epochs_run": len(one.val_curve),
            "parameters": one.parameters,
            "seconds": round(one.seconds, 3),
        }
        for one in results.records
    ]
    write_csv(path, pd.DataFrame(rows, dtype=object))


# How numbers are written: differences in percentage points, with a sign.


def split_paragraphs(text: str) -> tuple[str, ...]:
    """Paragraphs of a study file, separated by empty lines."""
    parts = (" ".join(part.split()) for part in text.split("\n\n"))
    return tuple(part for part in parts if part)


def find_mean(values: Iterable[float | None]) -> float | None:
    """The mean of those that are known; None of none."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def show_accuracy(value: float | None) -> str:
    """Four decimals; empty for None."""
    return "" if value is None else f"{value:.4f}"


def show_points(value: float | None) -> str:
    """A difference of accuracies in percentage points: two decimals, up to four where fewer would make it 0."""
    if value is None:
        return ""
    points = 100 * max(-1.0, min(value, 1.0))  # an interval may go further than accuracies can differ
    decimals = next((places for places in (2, 3, 4) if round(points, places)), 2)
    return f"{points:+.{decimals}f}"


def show_interval(low: float | None, high: float | None) -> str:
    """Two ends in percentage points; empty for None."""
    return "" if low is None or high is None else f"{show_points(low)} to {show_points(high)}"


def show_effect(effect: Effect, verdict: str, name: str = "effect") -> dict[str, str]:
    """The cells of an effect, its interval and its verdict."""
    return {
        f"{name} (points)": show_points(effect.mean),
        "95 % interval": show_interval(effect.low, effect.high),
        "verdict": verdict + (", in one seed" if effect.seeds == 1 and effect.low is not None else ""),
    }


def show_change(effect: Effect) -> str:
    """From which value to which: "0.3 → 0.7"."""
    return f"{show_value(effect.reference)} → {show_value(effect.value)}"


def to_rows(rows: pd.DataFrame | list[dict[str, str]]) -> tuple[tuple[str, ...], ...]:
    """A table of text as rows, the header first; columns without any text are left out."""
    table = pd.DataFrame(rows)
    table = table.loc[:, (table != "").any(axis=0)]
    return (tuple(map(str, table.columns)), *table.itertuples(index=False, name=None))


# The sections of the page: a figure, a sentence or two, a table.


def build_table(study: Study, summaries: Sequence[Summary]) -> pd.DataFrame:
    """The configurations as text, one row each: values, accuracy, what the seed report has, and how the runs ended."""
    rows = []
    for one in summaries:
        reported = find_reported(study, one.configuration)
        rows.append({
            **{name_parameter(name): show_value(one.configuration.get(name, "")) for name in study.parameters},
            "accuracy": show_accuracy(one.mean),
            "std. dev.": show_accuracy(one.deviation),
            "95 % interval": "" if one.interval is None else "{:.4f} to {:.4f}".format(*np.clip(one.interval, 0, 1)),
            "seed report": ", ".join(show_accuracy(found.accuracy) for found in reported),
            "untrained": show_accuracy(find_mean(record.untrained for record in one.done)),
            "seed report, untrained": ", ".join(
                show_accuracy(found.untrained) for found in reported if found.untrained
            ),
            **{
                f"after {epochs:,}": show_accuracy(find_mean(run.after(epochs) for run in one.done))
                for epochs in study.epochs_shown
            },
            "seeds": str(len(one.done)),
            "failed": str(one.failed or ""),
            "pruned": str(one.pruned or ""),
            "weights": f"{one.done[0].parameters:,}" if one.done else "",
            "seconds": f"{np.mean([run.seconds for run in one.done]):,.1f}" if one.done else "",
        })  # fmt: skip
    return pd.DataFrame(rows, dtype=str)


def choose_rows(study: Study, summaries: Sequence[Summary]) -> list[Summary]:
    """The configurations of a table, the best first; of many the best, the worst and those of the seed report."""
    ranked = rank(summaries)
    if len(summaries) <= MOST_ROWS:
        return ranked + [one for one in summaries if not one.done]
    worst = ranked[max(BEST_ROWS, len(ranked) - WORST_ROWS) :]
    between = [one for one in ranked[BEST_ROWS : len(ranked) - len(worst)] if find_reported(study, one.configuration)]
    return ranked[:BEST_ROWS] + between + worst


def format_table(study: Study, records: Sequence[TrialRecord]) -> str:
    """The table of configurations for the terminal."""
    summaries = summarize(study, select_records(study, records))
    if not any(one.done or one.failed or one.pruned for one in summaries):
        return "  no run has ended yet"
    shown = choose_rows(study, summaries)
    head, *rows = to_rows(build_table(study, shown).drop(columns="weights"))
    lines = pd.DataFrame(rows, columns=list(head)).to_string(index=False).splitlines() if rows else []
    if len(shown) < len(summaries):
        lines.append(f"{len(shown)} of {len(summaries):,} configurations; all of them are in {TABLE}.")
    for state in ("failed", "pruned"):
        if count := sum(getattr(one, state) for one in summaries):
            lines.append(f"{count:,} runs {state}. No mean includes them.")
    return "\n".join(f"  {line}" for line in lines)


def describe_question(results: Results) -> Section | None:
    """What the study asks."""
    source = (f"Seed report: {results.study.source}.",) if results.study.source else ()
    paragraphs = (*source, *split_paragraphs(results.study.hypothesis))
    return Section("Question and hypothesis", paragraphs) if paragraphs else None


def describe_conclusion(results: Results) -> Section | None:
    """What the authors of the study conclude."""
    paragraphs = split_paragraphs(results.study.conclusion)
    return Section("Conclusion of the authors", paragraphs) if paragraphs else None


def describe_results(results: Results) -> Section:
    """The configurations, ranked, with a figure of each parameter."""
    study, shown = results.study, choose_rows(results.study, results.summaries)
    drawn = [(name, plot_parameter(study, results.records, name)) for name in study.parameters]
    key = "A dot is a run, a bar the range of the seeds."
    figures = tuple(
        results.draw(f"accuracy_{name}", figure, f"Accuracy against {name_parameter(name)}. {key}")
        for name, figure in drawn
        if figure is not None
    )
    words = "Accuracy is the share of held-out rows, the mean over the seeds after the last epoch."
    if len(shown) < len(results.summaries):
        words += f" The table has {len(shown)} of {len(results.summaries):,} configurations; {TABLE} has all runs."
    notes: dict[str, list[str]] = {}
    for reported in (found for one in shown for found in find_reported(study, one.configuration) if found.note):
        notes.setdefault(reported.note, []).append(show_accuracy(reported.accuracy))
    remarks = [f"Seed report, {', '.join(numbers)}: {note}." for note, numbers in notes.items()]
    return Section("Results", (words, *remarks), figures, to_rows(build_table(study, shown)))


def describe_effects(results: Results) -> Section | None:
    """The effect of each parameter."""
    effects = measure_effects(results.study, results.records)
    if not effects:
        return None
    rows = [
        {
            "parameter": name_parameter(one.parameter),
            "change": show_change(one),
            **show_effect(one, one.verdict),
            "seeds": str(one.seeds or ""),
            "pairs": str(one.pairs or ""),
        }
        for one in effects
    ]
    words = (
        "Each line compares runs that are equal in all else, the seed too. A seed gives one number, and the interval "
        "is Student's t over the seeds, at 95 % for all lines of a parameter together (Bonferroni)."
    )
    return Section("Effects", (words,), table=to_rows(rows))


def describe_interactions(results: Results) -> Section | None:
    """Where one parameter changes what another does; those that are significant first."""
    interactions = measure_interactions(results.study, results.records)
    if not interactions:
        return None
    interactions.sort(key=lambda one: (not one.change.significant, -abs(one.change.mean or 0)))
    shown = interactions[: max(MOST_INTERACTIONS, sum(one.change.significant for one in interactions))]
    verdicts = {NO_EFFECT: "no significant interaction", NOT_TESTED: NOT_TESTED}
    rows = [
        {
            "change": f"{name_parameter(one.change.parameter)} {show_change(one.change)}",
            "depends on": f"{name_parameter(one.other)} {show_value(one.reference)} or {show_value(one.value)}",
            "effect at the first": show_points(one.at_reference),
            "at the second": show_points(one.at_value),
            **show_effect(one.change, verdicts.get(one.change.verdict, "interacts"), "difference"),
        }
        for one in shown
    ]
    words = f"{len(shown)} of {len(interactions)} pairs of parameters. The intervals hold at 95 % for all together."
    return Section("Interactions", (words,), table=to_rows(rows))


def describe_importance(results: Results) -> Section | None:
    """How much of the variance of the accuracies each parameter explains."""
    if len(results.study.parameters) < 2:
        return None
    found = measure_importance(results.study, results.summaries)
    if isinstance(found, str):
        return Section("Importance", (f"Not computed: it {found}.",))
    words = (
        "The share of the variance of the mean accuracies that a parameter explains by itself (fANOVA; Hutter, Hoos "
        "and Leyton-Brown 2014). It has no interval, and holds for the values that were tried."
    )
    figure = results.draw("importance", plot_importance(found), "Importance of each parameter.")
    rows = [{"parameter": name_parameter(name), "share": f"{share:.2f}"} for name, share in found.items()]
    return Section("Importance", (words,), (figure,), to_rows(rows))


def describe_learning_curves(results: Results) -> Section | None:
    """Learning curves, and the epoch from which on there is no significant gain."""
    chosen = choose_curves(results.ranked)
    if not chosen:
        return None
    rows, history, plateaus = [], [], {}
    for one in chosen:
        label = label_configuration(results.study, one.configuration)
        found = find_plateau([record.val_curve for record in one.done], find_resolution(one.done))
        rows.append({
            "configuration": label,
            "verdict": _describe_plateau(found),
            "gain left (points)": show_points(found.gain) if found else "",
            "95 % interval": show_interval(found.low, found.high) if found else "",
            "best epoch minus last": show_points(found.excess) if found else "",
        })  # fmt: skip
        if found is not None and found.epoch and not found.undecided:
            plateaus[label] = found.epoch
        for record in one.done:
            curves = zip(record.val_curve, record.train_curve or [np.nan] * len(record.val_curve), strict=False)
            history += [
                {"configuration": label, "seed": record.seed, "epoch": epoch, "accuracy": train, "val_accuracy": val}
                for epoch, (val, train) in enumerate(curves, 1)
            ]
    title = f"{len(chosen)} of {len(results.ranked)} configurations, the best first"
    figure = results.draw(
        "learning_curves",
        plot_learning_curves(pd.DataFrame(history), title, plateaus=plateaus),
        "Accuracy after each epoch, a line per seed.",
    )
    words = (
        "Gains end at the first epoch whose gain to the end is not significant. The verdict is undecided if more than "
        f"{100 * LEAST_SHARE:g} % of the errors may still be gained. The best epoch is chosen on the rows that measure "
        "it, so its gain is too high."
    )
    return Section("Learning curves", (words,), (figure,), to_rows(rows))


def choose_curves(ranked: Sequence[Summary]) -> list[Summary]:
    """The configurations whose curves are shown; of many the best, the median and the worst."""
    long = [one for one in ranked if max(len(record.val_curve) for record in one.done) > 1]
    return long if len(long) <= MOST_CURVES else [*long[:BEST_CURVES], long[len(long) // 2], long[-1]]


def _describe_plateau(found: Plateau | None) -> str:
    if found is None:
        return "not tested: needs two seeds"
    if found.epoch is None:
        return "still gains in the last epoch"
    return f"{'undecided' if found.undecided else 'no significant gain'} from epoch {found.epoch:,} on"


def describe_confusions(results: Results) -> Section | None:
    """The confusions of the best configuration over its seeds, and the classes that some run never predicted."""
    if not results.ranked:
        return None
    best = results.ranked[0]
    counts = np.array([record.confusion for record in best.done if record.confusion], np.int64)
    if not len(counts):
        return None
    names, seeds = results.class_names, len(counts)
    found = find_repeated_confusions(counts)
    mean = counts[0] if seeds == 1 else counts.mean(axis=0)
    note = f", mean over {seeds} seeds" if seeds > 1 else ""
    figure = results.draw(
        "confusion",
        plot_confusion_matrix(mean, names, unit="held-out rows", note=note),
        f"Confusions of the best configuration{note}.",
    )
    rows = [
        {
            "label": names[pair.label],
            "predicted as": names[pair.prediction],
            "share of the label's rows": f"{100 * pair.share:.1f} %",
            "more than its share in": f"{pair.models} of {seeds} seeds",
            "verdict": "not tested" if seeds == 1 else "in every seed" if pair.models == seeds else "not in every seed",
        }
        for pair in found.pairs.head(MOST_PAIRS).itertuples()
    ]
    words = [
        f"The best configuration is {label_configuration(results.study, best.configuration)}. A pair "
        "is listed if it takes more of the errors than its share; by chance a pair does so in one seed of twenty."
    ]
    lost = [(record, labels) for record in results.records if (labels := find_unpredicted(record))]
    if lost:
        classes = sorted({label for _, labels in lost for label in labels})
        words.append(
            f"{len(lost):,} of {sum(len(one.done) for one in results.summaries):,} finished runs never predicted one "
            f"of these classes: {', '.join(names[label] for label in classes)}."
        )
    return Section("Confusions", tuple(words), (figure,), to_rows(rows) if rows else ())


def find_unpredicted(record: TrialRecord) -> list[int]:
    """The classes that a finished run never predicted, although its held-out rows have them."""
    if record.state != "done" or not record.confusion:
        return []
    counts = np.array(record.confusion)
    missing: list[int] = np.flatnonzero((counts.sum(axis=0) == 0) & (counts.sum(axis=1) > 0)).tolist()
    return missing


def describe_ensembles(results: Results) -> Section | None:
    """Accuracy against the number of models that are averaged, for the configurations with the best single models."""
    study, kept = results.study, load_ensembles(results.folder / ENSEMBLES)
    scores = merge_ensembles(study, kept, kept[:0], results.records)
    if scores.empty:
        return None
    configurations = [record.configuration for record in results.records]
    labels = {describe_configuration(study, one): label_configuration(study, one) for one in configurations}
    single = scores[scores.models == 1].sort_values("accuracy", ascending=False, kind="stable")
    scores = scores[scores.configuration.isin(single.configuration[:MOST_ENSEMBLES])]
    scores = scores.assign(configuration=scores.configuration.map(labels))
    caption = "Accuracy of the mean of so many models; bars from the worst to the best choice."
    figure = results.draw("ensembles", plot_ensembles(scores), caption)
    wide = scores.pivot(index="configuration", columns="models", values="accuracy").loc[pd.unique(scores.configuration)]
    saved = 1 - (1 - wide.ffill(axis=1).iloc[:, -1]) / (1 - wide[1])
    counts = dict.fromkeys([*wide.columns[: MOST_ENSEMBLES - 1], wide.columns[-1]])
    table = pd.DataFrame(
        {f"{count} model{'s' if count > 1 else ''}": wide[count].map("{:.5f}".format) for count in counts}
    )
    table = table.replace("nan", "").assign(**{"fewer errors": saved.map(lambda share: f"{100 * share:.0f} %")})
    words = (
        "The models of a configuration hold out the same rows. Each number is the mean over all choices of so many "
        f"models, or {MOST_CHOICES} of them. Choices share models, so other models may differ by more than the bars."
    )
    return Section("Ensembles", (words,), (figure,), to_rows(table.rename_axis("configuration").reset_index()))


def describe_claims(results: Results) -> Section | None:
    """The claims of the seed report with their verdicts."""
    rows = []
    for claim, effect, verdict in judge_claims(results.study, results.records):
        where = ", ".join(f"{name_parameter(name)} {show_value(value)}" for name, value in claim.where.items())
        margin = f" of {100 * claim.margin:g} points" if claim.margin else ""
        expected = f"no difference{margin}" if claim.expects == "none" else claim.expects
        tested = (
            f"{name_parameter(claim.parameter)} {show_change(effect)}: {expected}{f' (at {where})' if where else ''}"
        )
        rows.append({"the seed report says": claim.says, "tested as": tested, **show_effect(effect, verdict)})
    if not rows:
        return None
    words = "Each claim is a question of its own. A claim that is not contradicted is not proved."
    return Section("Claims of the seed report", (words,), table=to_rows(rows))


def describe_unfinished(results: Results) -> Section | None:
    """Why runs did not finish; the table of results has how many."""
    reasons = [one.reason or "below the median of earlier runs" for one in results.records if one.state != "done"]
    if not reasons:
        return None
    table = pd.DataFrame(Counter(reasons).items(), columns=["reason", "runs"]).astype(str)
    words = (
        "No mean and no comparison includes these runs, so a value whose runs fail looks better than it is. A pruned "
        "run might have caught up."
    )
    return Section("Unfinished runs", (words,), table=to_rows(table))


def describe_method(results: Results) -> Section:
    """Every field of the runs' configurations and who chose it, the rows, the hardware and the time."""
    study, records = results.study, results.records
    configurations = [one.configuration for one in results.summaries if one.done or one.failed or one.pruned]
    named = [{**study.fixed, **one} for one in configurations]
    configs = [study.build_config(one, 0).to_json() for one in configurations]
    options = [{name: value for name, value in one.items() if is_option(name)} for one in named]
    fields = pd.DataFrame([config | own for config, own in zip(configs, options, strict=True)], dtype=object)
    chosen_by = {  # the last that names a field
        **dict.fromkeys(fields, "default"),
        **{name: "model's preset" for config in configs for name in load_preset(config["model"])},
        **{name: "study" for one in named for name in one},
        **dict.fromkeys(study.parameters, "varied by the study"),
    }
    rows = [("configurations", f"{len(results.summaries):,}", CHOICES[study.method])]
    rows += [("seeds", str(study.seeds), "study"), ("pruning", study.prune.replace("none", ""), "study")]
    for name in fields.columns.difference(NOT_SHOWN, sort=False):
        drawn = study.ranges.get(name)
        values = _join_values(map(show_value, fields[name].dropna()))
        values = f"{drawn.low:g} to {drawn.high:g}" if isinstance(drawn, Range) else values or "none"
        rows.append((name_parameter(name), values, chosen_by[name]))
    done = [record for record in records if record.confusion]
    rows += [
        ("held-out rows", _join_values(f"{one.held_out_rows:,}" for one in done), "measured"),
        ("training rows", _join_values(f"{one.training_rows:,}" for one in done), "measured"),
        ("computing time", format_seconds(sum(record.seconds for record in records)), "measured"),
        *((name, ", ".join(values), "recorded" if len(values) == 1 else "recorded: runs differ")
          for name, values in list_environments(records).items()),
    ]  # fmt: skip
    table = pd.DataFrame([row for row in rows if row[1]], columns=["field", "value", "chosen by"])
    return Section("Method", split_paragraphs(study.method_text), table=to_rows(table))


def _join_values(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values))


def list_environments(records: Sequence[TrialRecord]) -> dict[str, list[str]]:
    """By name what numbers may depend on: its value, or where runs differ each with how many runs had it."""
    # where the data are is left out: what they are is `train.csv`
    names = dict.fromkeys(name for record in records for name in record.environment if name != "data")
    found = {}
    for name in names:
        values = [record.environment.get(name) for record in records if record.environment]
        counts = Counter(", ".join(map(str, one)) if isinstance(one, list) else str(one) for one in values)
        found[name] = [f"{value} ({runs:,} runs)" for value, runs in counts.items()] if len(counts) > 1 else [*counts]
    return found


def describe_limits(results: Results) -> Section | None:
    """What the numbers do not show, and why."""
    study, records = results.study, results.records
    seeds = len({record.seed for record in records if record.state == "done"})  # a study may mean to have more
    tested = len({one.parameter for one in measure_effects(study, records) if one.low is not None})
    chance = 100 * (1 - (1 - ERROR_RATE) ** tested)
    same = "split_seed" in study.fixed
    limits = [
        (seeds == 1, "seeds", "1", "intervals do not include what another seed would change"),
        (1 < seeds < 5, "seeds", f"{seeds}", "intervals are wide, and a small effect may be missed"),
        (seeds > 1 and same, "held-out rows", "the same for every seed", "other rows would add to the deviation"),
        (seeds > 1 and not same, "held-out rows", "others for every seed",
         "seeds share training rows, so intervals are too narrow for other rows (Nadeau and Bengio 2003)"),
        (len(results.ranked) > 1, "configurations", f"{len(results.ranked):,}",
         "the best was chosen on the rows that measure it: its accuracy is too high"),
        (tested > 1, "parameters tested", f"{tested}",
         f"without any effect, up to {chance:.0f} % of such studies would show one"),
        (results.left_out, f"other runs in {TRIALS}", f"{results.left_out:,}",
         "left out: they are of an earlier version of the study"),
    ]  # fmt: skip
    cautions = list_cautions(study, [record.configuration for record in records])
    table = pd.DataFrame([row for holds, *row in limits if holds], columns=["of these runs", "value", "limit"])
    if table.empty and not cautions:
        return None
    return Section("Limits", tuple(cautions), table=() if table.empty else to_rows(table))


def list_cautions(study: Study, configurations: Sequence[Configuration]) -> list[str]:
    """What varies without what it must be tuned with; where a run's accuracy is not that of its learning curve."""
    configs = [study.build_config(one, 0) for one in configurations]
    named = {*study.fixed, *(name for one in configurations for name in one)}
    optimizers = sorted({config.optimizer for config in configs})
    rates = ", ".join(f"{rate:g}" for rate in sorted({config.learning_rate for config in configs}))
    cautions = []
    if len(optimizers) > 1 and "learning_rate" not in named:
        cautions.append(
            f"The optimizers {', '.join(optimizers)} share a learning rate that the study does not name ({rates}); it "
            "suits at most one of them."
        )
    if any(config.patience for config in configs):
        cautions.append(
            "With early stopping a run's accuracy is that of its best epoch on the validation rows, not that of the "
            "last point of its learning curve."
        )
    if any(config.tta > 1 for config in configs):
        cautions.append("Test-time augmentation counts for a run's accuracy, not for its learning curve.")
    return cautions


# The figures that only a sweep has: accuracy against a parameter, importance, and ensembles.

JITTER = 0.022  # of the axis, to either side: equal points would hide one another
GOLDEN = 0.6180339887  # its multiples fill an interval evenly, and need no chance
LEAST_MARGIN = 1e-3  # values that are all but equal must not look far apart
LOG_FROM = 30  # times the lowest value: on an even axis the lower ones would lie on one another
NAME_LETTERS = 24
LONG_LABEL = 50  # characters, of which two do not fit side by side under the figure
MARKERS, LINES = "osD^vP*X", ("-", "--", ":", "-.")


def plot_parameter(study: Study, records: Sequence[TrialRecord], parameter: str) -> "Figure | None":
    """Draw accuracy against the values of a parameter: a dot per run, and the mean over the seeds.

    Runs are shown that another run equals in all but this parameter. Where parameters vary one at a time, the turns of
    the other parameters would raise or lower one value alone. If there are no such runs, all are shown.

    Args:
        study: of which this is a parameter.
        records: of its trials.
        parameter: its name.

    Returns:
        None if no run has finished with the parameter.
    """
    done = [record for record in records if record.state == "done"]
    runs = build_frame(done)
    if parameter not in runs:
        return None
    runs = number_bases(runs, parameter).dropna(subset=[parameter])
    varied = runs.groupby(BASE)[parameter].transform("nunique") > 1
    runs = runs[varied] if varied.any() else runs
    values, drawn = study.list_values(parameter), study.ranges.get(parameter)
    numbers = are_numbers([*values, *runs[parameter]])
    values = sorted(values) if numbers else values
    locate: Callable[[Value], float] = float if numbers else values.index  # names stand in their order
    places = runs[parameter].map(locate).to_numpy(float)
    log = drawn.log if isinstance(drawn, Range) else numbers and 0 < LOG_FROM * places.min() <= places.max()
    places = np.log(places) if log else places  # each moved in its own way, and the same way each time
    places = places + JITTER * (np.ptp(places) or 1) * (2 * (GOLDEN * np.arange(len(places)) % 1) - 1)
    means = runs.groupby([parameter, SEED], sort=False)[ACCURACY].mean().groupby(level=0, sort=False)
    found = [value for value in values if value in means.groups]
    several = bool((means.size() > 1).any())
    shown = [done[place].configuration for place in runs.index]  # the frame has the same order
    found_reported = {(one[parameter], reported.accuracy) for one in shown for reported in find_reported(study, one)}
    reported = sorted(found_reported, key=str)
    figure = open_figure(7, 3.8)
    axes = figure.subplots()
    axes.plot(
        np.exp(places) if log else places, runs[ACCURACY], ".", color=TRAINING_COLOUR, alpha=0.6, markersize=9,
        markeredgewidth=0, label="a run", zorder=2,
    )  # fmt: skip
    if values:
        mean, low, high = (getattr(means, name)()[found].to_numpy() for name in ("mean", "min", "max"))
        axes.errorbar(
            [locate(value) for value in found], mean, yerr=[mean - low, high - mean] if several else None,
            fmt="o-" if numbers else "o", color=HELD_OUT_COLOUR, capsize=6, linewidth=1.2, elinewidth=2,
            capthick=2, markersize=7, zorder=3,
            label="mean over the seeds, lowest to highest seed" if several else "mean of the runs",
        )  # fmt: skip
    if reported:
        axes.plot(
            [locate(value) for value, _ in reported], [accuracy for _, accuracy in reported], "D", color=ACCENT_COLOUR,
            fillstyle="none", markersize=7, markeredgewidth=1.6, label="the seed report", zorder=4,
        )  # fmt: skip
    margin = max(0.04 * np.ptp(axes.dataLim.intervaly), LEAST_MARGIN)
    axes.set_ylim(axes.dataLim.y0 - margin, axes.dataLim.y1 + margin)
    if log:
        axes.set_xscale("log")
    if values:
        axes.set_xticks([*map(locate, values)], [shorten(show_value(one), NAME_LETTERS) for one in values])
        axes.set_xticks([], minor=True)
    if not numbers:
        axes.set_xlim(-0.5, len(values) - 0.5)
    axes.set_xlabel(shorten(name_parameter(parameter), 60) + (" (logarithmic)" if log else ""))
    axes.set_ylabel("accuracy on held-out rows")
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    # below the panel: points leave no corner free for certain
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def plot_importance(shares: dict[str, float]) -> "Figure":
    """Draw the share of the configurations' variance that each parameter explains, the largest on top.

    Args:
        shares: by parameter, 0 to 1, the largest first.
    """
    figure = open_figure(8, 1.2 + 0.45 * len(shares))
    axes = figure.subplots()
    bars = axes.barh(np.arange(len(shares)), list(shares.values()), color=HELD_OUT_COLOUR)
    axes.bar_label(bars, fmt="{:.2f}", padding=4)
    axes.set_yticks(np.arange(len(shares)), [shorten(name_parameter(name), NAME_LETTERS) for name in shares])
    axes.invert_yaxis()  # the largest on top
    axes.set_xlim(0, 1.08)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_xlabel("share of what the parameters explain one by one")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def plot_ensembles(scores: pd.DataFrame) -> "Figure":
    """Draw accuracy against the number of models that are averaged, a line per configuration.

    Args:
        scores: columns configuration, models, accuracy, lowest and highest, of at most eight configurations.
    """
    labels = list(dict.fromkeys(scores.configuration))
    columns = 2 if max(map(len, labels)) <= LONG_LABEL else 1
    figure = open_figure(9, 4 + 0.2 * len(labels) / columns)
    axes = figure.subplots()
    for place, label in enumerate(labels):
        own = scores[scores.configuration == label]
        bars = np.maximum([own.accuracy - own.lowest, own.highest - own.accuracy], 0)
        axes.errorbar(
            own.models + 0.03 * (place - len(labels) / 2), own.accuracy, yerr=bars, label=label, capsize=2,
            color=str(0.1 + 0.5 * place / len(labels)) if place % 2 else HELD_OUT_COLOUR,
            marker=MARKERS[place % len(MARKERS)], linestyle=LINES[place % len(LINES)], linewidth=1,
        )  # fmt: skip
    axes.set_xlabel("models that are averaged")
    axes.set_ylabel("accuracy on held-out rows")
    axes.set_xticks(sorted(set(scores.models)))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=columns, fontsize="small")
    return figure


# The top and the end of the page.


def _build_header(results: Results) -> str:
    study, ended, planned = results.study, len(results.records), results.study.planned
    runs = f"{ended:,}" if planned is None or planned < ended else f"{ended:,} of {planned:,}"
    facts = [("runs", runs), ("configurations", f"{len(results.summaries):,}")]
    facts.append(("computing time", format_seconds(sum(record.seconds for record in results.records))))
    if results.ranked:
        best = results.ranked[0]
        deviation = "" if best.deviation is None else f" ± {best.deviation:.4f}"
        name = ("best configuration", label_configuration(study, best.configuration))
        facts = [name, ("its accuracy on held-out rows", f"{best.mean:.4f}{deviation}"), *facts]
    # a study whose minutes are limited may end at any time
    under_way = study.minutes is None and find_next_trials(study, results.records)
    alarm = f'<p class="alarm">Under way: {runs} runs have ended.</p>' if under_way else ""
    return f'<p class="quiet">Study {escape_html(study.name)}</p>{build_facts(facts)}{alarm}'


def _build_command(study: Study, source: Path) -> str:
    command = shlex.join(["python", "-m", "digit_recognizer.sweep", str(source)])
    words = "The same command resumes an interrupted sweep. The data in {} must be those of the train.csv above."
    return f"<p><code>{escape_html(command)}</code></p><p>{escape_html(words.format(study.input_dir))}</p>"
