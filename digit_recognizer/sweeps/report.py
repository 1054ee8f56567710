"""What a sweep leaves to be read: results.csv, figures, and page.html.

A section of the page is a figure, a sentence and a table with a verdict.
"""

import json
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    default_style,
    open_figure,
    plot_confusion_matrix,
    plot_learning_curves,
    save_figure,
    shorten,
)
from digit_recognizer.sweeps import statistics
from digit_recognizer.sweeps.ensembles import ENSEMBLES, MAX_CHOICES, load_ensembles, merge_ensembles
from digit_recognizer.sweeps.statistics import ACCURACY, SEED, Effect, Summary, find_resolution
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
MAX_ROWS = 24  # of a table of results; of more configurations the best and the worst, or nobody would read them
BEST_ROWS, WORST_ROWS = 10, 5
MAX_CURVES, BEST_CURVES = 8, 4  # panels of learning curves; of more configurations the best, the median and the worst
MAX_PAIRS = 12  # of confused classes
MAX_INTERACTIONS = 6  # in the table, unless more are significant
MAX_ENSEMBLES = 8  # configurations, and columns
CHOICES = {"grid": "every combination of the grids", "random": "random draws", "tpe": "TPE search"}
NOT_SHOWN = (*SET_BY_SWEEP, "tensorboard", "model_args", "limit_test")


@dataclass(frozen=True)
class Results:
    """All that the page of a sweep is made of.

    Attributes:
        study: as its file reads now.
        records: of its trials, in the order of results.csv.
        summaries: of its configurations, ranked.
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
        ours = statistics.select_records(study, records)
        order = {json.dumps(one, sort_keys=True): place for place, one in enumerate(study.configurations)}
        # machines finish in whatever order
        ours.sort(key=lambda one: (one.seed, order.get(json.dumps(one.configuration, sort_keys=True), 0)))
        return cls(study, ours, statistics.summarize(study, ours), folder, len(records) - len(ours))

    @property
    def best(self) -> Summary | None:
        """The configuration that ranks first; None before any run has finished."""
        return self.summaries[0] if self.summaries and self.summaries[0].done else None

    @property
    def class_names(self) -> list[str]:
        """By ascending label."""
        names = self.records[0].environment.get("classes") if self.records else None
        return [str(name) for name in names or range(CLASSES)]

    def draw(self, name: str, figure: "Figure", caption: str) -> tuple[FigureFile]:
        """Write a figure into the sweep's folder."""
        path = self.folder / FIGURES / f"{name}.png"
        save_figure(figure, path)
        return (FigureFile(path, caption),)


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
    write_csv(folder / TABLE, build_trial_table(results))
    question = (f"Seed report: {study.source}.\n\n" if study.source else "") + study.hypothesis
    sections = [
        Section("Question and hypothesis", split_paragraphs(question)), describe_results(results),
        *describe_parameters(results), describe_interactions(results), describe_importance(results),
        describe_learning_curves(results), describe_confusions(results), describe_ensembles(results),
        describe_claims(results), describe_unfinished(results), describe_method(results), describe_limits(results),
        Section("Conclusion of the authors", split_paragraphs(study.conclusion)),
    ]  # fmt: skip
    shown = [one for one in sections if one is not None and (one.figures or one.paragraphs or len(one.table))]
    command = escape_html(shlex.join(["python", "-m", "digit_recognizer.sweep", str(source)]))
    words = f"The same command resumes an interrupted sweep. The data in {study.input_dir} must have this train.csv."
    footer = [("Command", f"<p><code>{command}</code></p><p>{escape_html(words)}</p>")]
    write_text(folder / PAGE, build_page(study.title, build_header(results), shown, footer))
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


def build_trial_table(results: Results) -> pd.DataFrame:
    """The content of results.csv: a line per run."""
    configurations = pd.DataFrame([one.configuration for one in results.records], dtype=object).fillna("")
    varied = [name for name in results.study.parameters if name in configurations]
    configurations = configurations[[*varied, *configurations.columns.difference(varied, sort=False)]]
    ends = pd.DataFrame([
        {
            "seed": one.seed, "state": one.state, "reason": one.reason, "untrained": one.untrained,
            "accuracy": one.accuracy, "epochs_run": len(one.val_curve), "parameters": one.parameters,
            "seconds": round(one.seconds, 3),
        }
        for one in results.records
    ], dtype=object)  # fmt: skip
    names = pd.Series([one.name for one in results.records], name="trial")
    return pd.concat([names, configurations, ends], axis=1)


def build_header(results: Results) -> str:
    """The facts below the page's heading, as HTML."""
    study, ended, planned = results.study, len(results.records), results.study.planned
    runs = f"{ended:,}" if planned is None or planned < ended else f"{ended:,} of {planned:,}"
    facts = [("runs", runs), ("configurations", f"{len(results.summaries):,}")]
    facts.append(("computing time", format_seconds(sum(record.seconds for record in results.records))))
    if (best := results.best) is not None:
        deviation = "" if best.deviation is None else f" (std. dev. {best.deviation:.4f})"
        name = ("best configuration", label_configuration(study, best.configuration))
        facts = [name, ("its accuracy on held-out rows", f"{best.mean:.4f}{deviation}"), *facts]
    # a study whose minutes are limited may end at any time
    under_way = study.minutes is None and find_next_trials(study, results.records)
    alarm = f'<p class="alarm">Under way: {runs} runs have ended.</p>' if under_way else ""
    return f'<p class="quiet">Study {escape_html(study.name)}</p>{build_facts(facts)}{alarm}'


# How numbers are written: differences in percentage points, with a sign.


def split_paragraphs(text: str) -> tuple[str, ...]:
    """Paragraphs of a study file, separated by empty lines."""
    return tuple(" ".join(part.split()) for part in text.split("\n\n") if part.strip())


def show_mean(values: Iterable[float | None]) -> str:
    """The mean of the accuracies that are known, with four decimals; empty of none."""
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.4f}" if known else ""


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


# The sections of the page: a figure, a sentence, a table.


def build_table(study: Study, summaries: Sequence[Summary]) -> pd.DataFrame:
    """The configurations as text, one row each: values, accuracy, what the seed report has, and how the runs ended."""
    rows = []
    for one in summaries:
        reported = find_reported(study, one.configuration)
        rows.append({
            **{name_parameter(name): show_value(one.configuration.get(name, "")) for name in study.parameters},
            "accuracy": show_mean(one.accuracies),
            "std. dev.": show_mean([one.deviation]),
            "95 % interval": "" if one.interval is None else "{:.4f} to {:.4f}".format(*np.clip(one.interval, 0, 1)),
            "seed report": ", ".join(f"{found.accuracy:.4f}" for found in reported),
            "untrained": show_mean(record.untrained for record in one.done),
            "seed report, untrained": ", ".join(f"{found.untrained:.4f}" for found in reported if found.untrained),
            **{
                f"after {epochs:,}": show_mean(run.after(epochs) for run in one.done) for epochs in study.epochs_shown
            },
            "seeds": str(len(one.done)),
            "failed": str(one.failed or ""),
            "pruned": str(one.pruned or ""),
            "weights": f"{one.done[0].parameters:,}" if one.done else "",
            "seconds": f"{np.mean([run.seconds for run in one.done]):,.1f}" if one.done else "",
        })  # fmt: skip
    return pd.DataFrame(rows, dtype=str)


def choose_rows(study: Study, summaries: Sequence[Summary]) -> list[Summary]:
    """The configurations of a table, ranked; of many the best, the worst and those of the seed report."""
    if len(summaries) <= MAX_ROWS:
        return list(summaries)
    done = [one for one in summaries if one.done]
    between = range(BEST_ROWS, len(done) - WORST_ROWS)
    return [one for place, one in enumerate(done) if place not in between or find_reported(study, one.configuration)]


def format_table(study: Study, records: Sequence[TrialRecord]) -> str:
    """The table of configurations for the terminal."""
    summaries = statistics.summarize(study, statistics.select_records(study, records))
    if not any(one.done or one.failed or one.pruned for one in summaries):
        return "  no run has ended yet"
    shown = choose_rows(study, summaries)
    table = build_table(study, shown).drop(columns="weights", errors="ignore")
    lines = table.loc[:, (table != "").any(axis=0)].to_string(index=False).splitlines() if len(table) else []
    if len(shown) < len(summaries):
        lines.append(f"{len(shown)} of {len(summaries):,} configurations; all of them are in {TABLE}.")
    for state in ("failed", "pruned"):
        if count := sum(getattr(one, state) for one in summaries):
            lines.append(f"{count:,} runs {state}. No mean includes them.")
    return "\n".join(f"  {line}" for line in lines)


def describe_results(results: Results) -> Section:
    """The configurations, ranked."""
    study, shown = results.study, choose_rows(results.study, results.summaries)
    words = "Accuracy is the share of held-out rows, the mean over the seeds after the last epoch."
    if len(shown) < len(results.summaries):
        words += f" The table has {len(shown)} of {len(results.summaries):,} configurations; {TABLE} has all runs."
    notes: dict[str, list[str]] = {}
    for reported in (found for one in shown for found in find_reported(study, one.configuration) if found.note):
        notes.setdefault(reported.note, []).append(f"{reported.accuracy:.4f}")
    remarks = [f"Seed report, {', '.join(numbers)}: {note}." for note, numbers in notes.items()]
    return Section("Results", (words, *remarks), table=build_table(study, shown))


def describe_parameters(results: Results) -> list[Section]:
    """A section per parameter: accuracy against its values, and the effects of changing them."""
    effects = statistics.measure_effects(results.study, results.records)
    return [
        _describe_parameter(results, name, [effect for effect in effects if effect.parameter == name])
        for name in results.study.parameters
    ]


def _describe_parameter(results: Results, parameter: str, effects: Sequence[Effect]) -> Section:
    name = name_parameter(parameter)
    figure = plot_parameter(results.study, results.records, parameter)
    caption = f"Accuracy against {name}. A dot is a run, a bar the range of the seeds."
    significant = sum(effect.significant for effect in effects)
    tested = sum(effect.verdict != statistics.NOT_TESTED for effect in effects)
    words = f"Significant differences between runs that are otherwise equal: {significant} of {tested} tested."
    rows = [
        {
            "change": show_change(one),
            **show_effect(one, one.verdict),
            "seeds": str(one.seeds or ""),
            "pairs": str(one.pairs or ""),
        }
        for one in effects
    ]
    figures = results.draw(f"accuracy_{parameter}", figure, caption) if figure is not None else ()
    return Section(f"Effect of {name}", (words,) if rows else (), figures, pd.DataFrame(rows))


def describe_interactions(results: Results) -> Section | None:
    """Where one parameter changes what another does; those that are significant first."""
    found = statistics.measure_interactions(results.study, results.records)
    if not found:
        return None
    found.sort(key=lambda one: (not one.change.significant, -abs(one.change.mean or 0)))
    significant = sum(one.change.significant for one in found)
    rows = [
        {
            "change": f"{name_parameter(one.change.parameter)} {show_change(one.change)}",
            "depends on": f"{name_parameter(one.other)} {show_value(one.reference)} or {show_value(one.value)}",
            "effect at the first": show_points(one.at_reference),
            "at the second": show_points(one.at_value),
            **show_effect(one.change, "interacts" if one.change.significant else one.change.verdict, "difference"),
        }
        for one in found[: max(MAX_INTERACTIONS, significant)]
    ]
    words = f"{significant} of {len(found)} pairs of parameters interact; the intervals hold at 95 % for all together."
    return Section("Interactions", (words,), table=pd.DataFrame(rows))


def describe_importance(results: Results) -> Section | None:
    """How much of the variance of the accuracies each parameter explains; None where that cannot be had."""
    shares = statistics.measure_importance(results.study, results.summaries)
    if not shares:
        return None
    words = (
        "The share of the variance of the mean accuracies that a parameter explains by itself (fANOVA; Hutter, Hoos "
        "and Leyton-Brown 2014) has no interval, and holds for the values that were tried."
    )
    figures = results.draw("importance", plot_importance(shares), "Importance of each parameter.")
    rows = [{"parameter": name_parameter(name), "share": f"{share:.2f}"} for name, share in shares.items()]
    return Section("Importance", (words,), figures, pd.DataFrame(rows))


def describe_learning_curves(results: Results) -> Section | None:
    """Learning curves, and the epoch from which on there is no significant gain."""
    ranked = [one for one in results.summaries if one.done]
    chosen = [one for one in ranked if max(len(record.val_curve) for record in one.done) > 1]
    if not chosen:
        return None
    if len(chosen) > MAX_CURVES:
        chosen = [*chosen[:BEST_CURVES], chosen[len(chosen) // 2], chosen[-1]]
    rows, curves, plateaus = [], [], {}
    for one in chosen:
        label = label_configuration(results.study, one.configuration)
        found = statistics.find_plateau([record.val_curve for record in one.done], find_resolution(one.done))
        rows.append({
            "configuration": label,
            "verdict": found.verdict if found else statistics.NOT_TESTED,
            "gain left (points)": show_points(found.gain) if found else "",
            "95 % interval": show_interval(found.low, found.high) if found else "",
            "best epoch minus last": show_points(found.excess) if found else "",
        })  # fmt: skip
        if found is not None and found.epoch and not found.undecided:
            plateaus[label] = found.epoch
        for record in one.done:
            both = {"accuracy": record.train_curve, "val_accuracy": record.val_curve}
            curve = pd.DataFrame({name: pd.Series(values, dtype=float) for name, values in both.items()})
            curves.append(curve.assign(configuration=label, seed=record.seed, epoch=range(1, len(curve) + 1)))
    title = f"{len(chosen)} of {len(ranked)} configurations, the best first"
    figures = results.draw(
        "learning_curves",
        plot_learning_curves(pd.concat(curves), title, plateaus=plateaus),
        "Accuracy after each epoch, a line per seed.",
    )
    words = (
        "Gains end at the first epoch whose gain to the end is not significant; undecided means that more than "
        f"{100 * statistics.MIN_SHARE:g} % of the errors may still be gained."
    )
    return Section("Learning curves", (words,), figures, pd.DataFrame(rows))


def describe_confusions(results: Results) -> Section | None:
    """The confusions of the best configuration over its seeds."""
    best = results.best
    counts = np.array([record.confusion for record in best.done if record.confusion] if best else [], np.int64)
    if best is None or not len(counts):
        return None
    names, seeds = results.class_names, len(counts)
    mean = counts[0] if seeds == 1 else counts.mean(axis=0)
    note = f", mean over {seeds} seeds" if seeds > 1 else ""
    figures = results.draw(
        "confusion",
        plot_confusion_matrix(mean, names, unit="held-out rows", note=note),
        f"Confusions of {label_configuration(results.study, best.configuration)}, the best configuration{note}.",
    )
    rows = [
        {
            "label": names[pair.label],
            "predicted as": names[pair.prediction],
            "share of the label's rows": f"{100 * pair.share:.1f} %",
            "more than its share in": f"{pair.models} of {seeds} seeds",
            "verdict": "not tested" if seeds == 1 else "in every seed" if pair.models == seeds else "not in every seed",
        }
        for pair in find_repeated_confusions(counts).pairs.head(MAX_PAIRS).itertuples()
    ]
    words = "These pairs take more of the errors than their share; by chance a pair does so in one seed of twenty."
    return Section("Confusions", (words,), figures, pd.DataFrame(rows))


def find_unpredicted(record: TrialRecord) -> list[int]:
    """The classes that a finished run never predicted, although its held-out rows have them."""
    if record.state != "done" or not record.confusion:
        return []
    counts = np.array(record.confusion)
    missing: list[int] = np.flatnonzero((counts.sum(axis=0) == 0) & (counts.sum(axis=1) > 0)).tolist()
    return missing


def describe_ensembles(results: Results) -> Section | None:
    """Accuracy against the number of models that are averaged, for the configurations with the best single models."""
    scores = merge_ensembles(results.study, load_ensembles(results.folder / ENSEMBLES), results.records)
    if scores.empty:
        return None
    trials = {one.name: label_configuration(results.study, one.configuration) for one in results.records}
    scores = scores.assign(configuration=scores.trials.str.split().str[0].map(trials))
    # a label has four digits, which two configurations of a search may share: then the first of them is shown
    scores = scores.drop_duplicates(["configuration", "models"])
    wide = scores.pivot(index="configuration", columns="models", values="accuracy")
    wide = wide.loc[scores.configuration.unique()].sort_values(1, ascending=False, kind="stable")[:MAX_ENSEMBLES]
    figure = plot_ensembles(scores[scores.configuration.isin(wide.index)])
    caption = "Accuracy of the mean of so many models; bars from the worst to the best choice."
    fewer = 1 - (1 - wide.ffill(axis=1).iloc[:, -1]) / (1 - wide[1])
    table = wide[wide.columns[: MAX_ENSEMBLES - 1].union(wide.columns[-1:])]
    table = table.map("{:.5f}".format).replace("nan", "").rename(columns="{} models".format)
    table = table.assign(**{"fewer errors": fewer.map(lambda share: f"{100 * share:.0f} %")}).reset_index()
    words = (
        "Each number is the mean over all choices of so many models that hold out the same rows, or over "
        f"{MAX_CHOICES} choices; choices share models, so other models may differ by more than the bars."
    )
    return Section("Ensembles", (words,), results.draw("ensembles", figure, caption), table)


def describe_claims(results: Results) -> Section | None:
    """The claims of the seed report with their verdicts."""
    rows = []
    for claim, effect, verdict in statistics.judge_claims(results.study, results.records):
        margin = f" of {100 * claim.margin:g} point{'' if claim.margin == 0.01 else 's'}" if claim.margin else ""
        rows.append({
            "the seed report says": claim.says,
            "parameter": name_parameter(claim.parameter),
            "change": show_change(effect),
            "at": ", ".join(f"{name_parameter(name)} {show_value(value)}" for name, value in claim.where.items()),
            "expected": f"no difference{margin}" if claim.expects == "none" else claim.expects,
            **show_effect(effect, verdict),
        })  # fmt: skip
    words = "Each claim is a question of its own, and one that is not contradicted is not proved."
    return Section("Claims of the seed report", (words,), table=pd.DataFrame(rows)) if rows else None


def describe_unfinished(results: Results) -> Section | None:
    """Why runs did not finish; the table of results has how many."""
    reasons = Counter(one.reason or one.state for one in results.records if one.state != "done")
    words = "No mean and no comparison includes these runs, so a value whose runs fail looks better than it is."
    table = pd.DataFrame(reasons.items(), columns=["reason", "runs"]).astype(str)
    return Section("Unfinished runs", (words,), table=table) if reasons else None


def describe_method(results: Results) -> Section:
    """Every field of the runs' configurations and who chose it, the rows, the hardware and the time."""
    study, records = results.study, results.records
    named = [{**study.fixed, **one.configuration} for one in results.summaries if one.done or one.failed or one.pruned]
    configs = [study.build_config(one, 0).to_json() for one in named]
    options = [{name: value for name, value in one.items() if is_option(name)} for one in named]
    fields = pd.DataFrame([config | own for config, own in zip(configs, options, strict=True)], dtype=object)
    chosen_by = {  # the last that names a field
        **{name: "model's preset" for config in configs for name in load_preset(config["model"])},
        **{name: "study" for one in named for name in one},
        **dict.fromkeys(study.parameters, "varied by the study"),
    }
    rows = [("configurations", f"{len(results.summaries):,}", CHOICES[study.method])]
    rows += [("seeds", str(study.seeds), "study"), ("pruning", study.prune.replace("none", ""), "study")]
    for name in fields.columns.difference(NOT_SHOWN, sort=False):
        drawn = study.ranges.get(name)
        values = _join_values(fields[name].dropna().map(show_value)) or "none"
        values = f"{drawn.low:g} to {drawn.high:g}" if isinstance(drawn, Range) else values
        rows.append((name_parameter(name), values, chosen_by.get(name, "default")))
    done = [record for record in records if record.confusion]
    rows += [
        ("intervals", "Student's t over the seeds; 95 % for a parameter's comparisons together (Bonferroni)", ""),
        ("held-out rows", _join_values(f"{one.held_out_rows:,}" for one in done), "measured"),
        ("training rows", _join_values(f"{one.training_rows:,}" for one in done), "measured"),
        ("computing time", format_seconds(sum(record.seconds for record in records)), "measured"),
    ]
    environments = [one.environment for one in records if one.environment]
    for name in dict.fromkeys(name for one in environments for name in one if name != "data"):  # train.csv says which
        counts = Counter(_show_recorded(one.get(name)) for one in environments)
        values = ", ".join(f"{value} ({runs:,} runs)" if len(counts) > 1 else value for value, runs in counts.items())
        rows.append((name, values, "recorded: runs differ" if len(counts) > 1 else "recorded"))
    table = pd.DataFrame([row for row in rows if row[1]], columns=["field", "value", "chosen by"])
    return Section("Method", split_paragraphs(study.method_text), table=table)


def _join_values(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values))


def _show_recorded(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def describe_limits(results: Results) -> Section | None:
    """What the numbers do not show, and why."""
    study, records = results.study, results.records
    done = [record for record in records if record.state == "done"]
    seeds = len({record.seed for record in done})  # a study may mean to have more
    tested = len({one.parameter for one in statistics.measure_effects(study, records) if one.low is not None})
    chance = 100 * (1 - (1 - statistics.ERROR_RATE) ** tested)
    lost = [labels for record in done if (labels := find_unpredicted(record))]
    classes = ", ".join(results.class_names[label] for label in sorted({one for labels in lost for one in labels}))
    limits = [
        (seeds == 1, "seeds", "1", "intervals do not include what another seed would change"),
        (1 < seeds < 5, "seeds", f"{seeds}", "intervals are wide, and a small effect may be missed"),
        (seeds > 1 and "split_seed" in study.fixed, "held-out rows", "the same for every seed",
         "other rows would add to the deviation"),
        (seeds > 1 and "split_seed" not in study.fixed, "held-out rows", "others for every seed",
         "seeds share training rows, so intervals are too narrow for other rows (Nadeau and Bengio 2003)"),
        (sum(bool(one.done) for one in results.summaries) > 1, "configurations", f"{len(results.summaries):,}",
         "the best was chosen on the rows that measure it, and so was its best epoch: both are too high"),
        (tested > 1, "parameters tested", f"{tested}",
         f"without any effect, up to {chance:.0f} % of such studies would show one"),
        (lost, "runs that never predicted a class", f"{len(lost):,} of {len(done):,}", f"among the classes {classes}"),
        (results.left_out, f"other runs in {TRIALS}", f"{results.left_out:,}",
         "left out: they are of an earlier version of the study"),
    ]  # fmt: skip
    rows = [row for holds, *row in limits if holds]
    rows += list_cautions(study, [record.configuration for record in records])
    table = pd.DataFrame(rows, columns=["of these runs", "value", "limit"])
    return Section("Limits", table=table) if rows else None


def list_cautions(study: Study, configurations: Sequence[Configuration]) -> list[list[str]]:
    """What varies without what it must be tuned with; where a run's accuracy is not that of its learning curve.

    Returns:
        Of each its name, its values, and what follows from them.
    """
    configs = [study.build_config(one, 0) for one in configurations]
    named = {*study.fixed, *(name for one in configurations for name in one)}
    optimizers = _join_values(sorted({config.optimizer for config in configs}))
    cautions = []
    if "," in optimizers and "learning_rate" not in named:
        rates = _join_values(f"{rate:g}" for rate in sorted({config.learning_rate for config in configs}))
        cautions.append(["learning_rate", rates, f"the optimizers {optimizers} share it; it suits at most one of them"])
    if patience := _join_values(str(config.patience) for config in configs if config.patience):
        limit = "a run's accuracy is that of its best epoch on the validation rows, not of its curve's last point"
        cautions.append(["patience", patience, limit])
    if tta := _join_values(str(config.tta) for config in configs if config.tta > 1):
        cautions.append(["tta", tta, "it counts for a run's accuracy, not for its learning curve"])
    return cautions


# The figures that only a sweep has: accuracy against a parameter, importance, and ensembles. They are small, so that
# their labels can be read on a phone.

JITTER = 0.022  # of the axis, to either side: equal points would hide one another
MIN_MARGIN = 1e-3  # values that are all but equal must not look far apart
LOG_FROM = 30  # times the lowest value: on an even axis the lower ones would lie on one another
NAME_LETTERS = 24
MARKERS = "osD^vP*X"


@default_style()
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
    runs = statistics.build_frame(records)
    if parameter not in runs:
        return None
    runs = statistics.number_bases(runs, parameter).dropna(subset=[parameter])
    varied = runs.groupby(statistics.BASE)[parameter].transform("nunique") > 1
    runs = runs[varied] if varied.any() else runs
    values, drawn = study.list_values(parameter), study.ranges.get(parameter)
    numbers = are_numbers([*values, *runs[parameter]])
    values = sorted(values) if numbers else values
    locate: Callable[[Value], float] = float if numbers else values.index  # names stand in their order
    places = runs[parameter].map(locate).to_numpy(float)
    log = drawn.log if isinstance(drawn, Range) else numbers and 0 < LOG_FROM * places.min() <= places.max()
    places = np.log(places) if log else places
    places = places + JITTER * (np.ptp(places) or 1) * np.random.default_rng(0).uniform(-1, 1, len(places))
    by_seed = runs.groupby([parameter, SEED], sort=False)[ACCURACY].mean().groupby(level=0, sort=False)
    means = by_seed.agg(["mean", "min", "max", "size"]).reindex([value for value in values if value in by_seed.groups])
    configurations = runs[[name for name in study.parameters if name in runs]].to_dict("records")
    reported = {(one[parameter], found.accuracy) for one in configurations for found in find_reported(study, one)}

    figure = open_figure(4.5, 3.9)
    axes = figure.subplots()
    axes.plot(
        np.exp(places) if log else places, runs[ACCURACY], ".", color=TRAINING_COLOUR, alpha=0.6, markersize=9,
        markeredgewidth=0, label="a run", zorder=2,
    )  # fmt: skip
    if values:
        several = bool((means["size"] > 1).any())
        axes.errorbar(
            means.index.map(locate), means["mean"], color=HELD_OUT_COLOUR, capsize=6, linewidth=1.2, elinewidth=2,
            yerr=(means["mean"] - means["min"], means["max"] - means["mean"]) if several else None,
            fmt="o-" if numbers else "o", capthick=2, markersize=7, zorder=3,
            label="mean over the seeds, lowest to highest seed" if several else "mean of the runs",
        )  # fmt: skip
    if reported:
        axes.plot(
            *zip(*((locate(value), accuracy) for value, accuracy in sorted(reported, key=str)), strict=True), "D",
            color=ACCENT_COLOUR, fillstyle="none", markersize=7, markeredgewidth=1.6, label="the seed report", zorder=4,
        )  # fmt: skip
    margin = max(0.04 * np.ptp(axes.dataLim.intervaly), MIN_MARGIN)
    axes.set_ylim(axes.dataLim.y0 - margin, axes.dataLim.y1 + margin)
    if log:
        axes.set_xscale("log")
    if values:
        axes.set_xticks([*map(locate, values)], [shorten(show_value(one), NAME_LETTERS) for one in values])
        axes.set_xticks([], minor=True)
    for value in (one for one in values if one not in means.index):  # an empty place looks like a lost point
        axes.text(locate(value), 0.05, "no comparable\nrun", ha="center", transform=axes.get_xaxis_transform())
    if not numbers:
        axes.set_xlim(-0.5, len(values) - 0.5)
    axes.set_xlabel(shorten(name_parameter(parameter), 60) + (" (logarithmic)" if log else ""))
    _finish(figure, 1)
    return figure


def _finish(figure: "Figure", columns: int) -> None:
    """What figures of accuracy share; the legend is below the panel, since points leave no corner free for certain."""
    (axes,) = figure.axes
    axes.set_ylabel("accuracy on held-out rows")
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns, fontsize="small")


@default_style()
def plot_importance(shares: dict[str, float]) -> "Figure":
    """Draw the share of the configurations' variance that each parameter explains, the largest on top.

    Args:
        shares: by parameter, 0 to 1, the largest first.
    """
    figure = open_figure(4.5, 1.2 + 0.45 * len(shares))
    axes = figure.subplots()
    axes.bar_label(axes.barh(range(len(shares)), [*shares.values()], color=HELD_OUT_COLOUR), fmt="{:.2f}", padding=4)
    axes.set_yticks(range(len(shares)), [shorten(name_parameter(name), NAME_LETTERS) for name in shares])
    axes.invert_yaxis()  # the largest on top
    axes.set_xlim(0, 1.12)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_xlabel("share of what the parameters explain one by one")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


@default_style()
def plot_ensembles(scores: pd.DataFrame) -> "Figure":
    """Draw accuracy against the number of models that are averaged, a line per configuration.

    Args:
        scores: columns configuration, models, accuracy, lowest and highest, of at most eight configurations.
    """
    groups = list(scores.groupby("configuration", sort=False))
    figure = open_figure(6.5, 4 + 0.2 * len(groups))
    axes = figure.subplots()
    for place, ((label, own), marker) in enumerate(zip(groups, MARKERS, strict=False)):
        bars = np.maximum([own.accuracy - own.lowest, own.highest - own.accuracy], 0)
        axes.errorbar(
            own.models + 0.03 * (place - len(groups) / 2), own.accuracy, yerr=bars, label=label, capsize=2,
            color=str(0.1 + 0.5 * place / len(groups)) if place % 2 else HELD_OUT_COLOUR, marker=marker, linewidth=1,
        )  # fmt: skip
    axes.set_xlabel("models that are averaged")
    axes.set_xticks(sorted(set(scores.models)))
    _finish(figure, 1)
    return figure
