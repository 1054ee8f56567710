"""What a sweep tells at its end, or whenever it is asked: its page, with what only the runs' own parts can add."""

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from digit_recognizer.config import RunConfig
from digit_recognizer.data.csv_header import CLASSES
from digit_recognizer.models import build_model, read_options
from digit_recognizer.signals import show
from digit_recognizer.sweeps.ensemble_sections import describe_ensembles
from digit_recognizer.sweeps.ensembles import ENSEMBLES, load_ensembles, merge_ensembles
from digit_recognizer.sweeps.recipe import describe_recipe
from digit_recognizer.sweeps.results import FIGURES, write_results
from digit_recognizer.sweeps.spread import find_best, select_records
from digit_recognizer.sweeps.study import Study
from digit_recognizer.sweeps.trials import TrialRecord, group_by_setting


def tell_results(source: Path, study: Study, records: list[TrialRecord], folder: Path) -> None:
    """Write a sweep's table, figures and page, and say where they are.

    Args:
        source: the study's file, as the command that repeats it names it.
        study: as read from there.
        records: all that the sweep's table holds; nothing is written of none.
        folder: of the sweep.
    """
    if not records:
        return
    said_dir, study = study.input_dir, replace(study, input_dir=_find_data(study, records))
    best = find_best(study, records)
    summary = None if best is None else _summarise(study.build_config(best, 0))
    ensembles = merge_ensembles(study, load_ensembles(folder / ENSEMBLES), [], select_records(study, records))
    command = ["python", "-m", "digit_recognizer.sweep", str(source)]
    notes = []
    if said_dir != study.input_dir:
        command += ["--input-dir", str(study.input_dir)]
        notes.append(
            f"These runs are of the data in {study.input_dir}; the words of the study and its document speak of "
            f"{said_dir}, and their numbers are of other rows."
        )
    order = {json.dumps(setting, sort_keys=True): place for place, setting in enumerate(study.list_settings())}
    ours = {record.name: record for record in select_records(study, records)}
    # machines finish in whatever order
    records = sorted(
        (ours.get(record.name, record) for record in records),
        key=lambda one: (one.seed, order.get(json.dumps(one.setting, sort_keys=True), 0)),
    )
    names = records[0].circumstances.get("classes") or [str(label) for label in range(CLASSES)]
    further = describe_ensembles(ensembles, folder / FIGURES)
    settings = [setting for setting, _ in group_by_setting(select_records(study, records))]
    further += describe_recipe(study, settings)
    page, table, *_ = write_results(
        study,
        records,
        folder,
        command=shlex.join(command),
        class_names=names,
        summary=summary,
        further=further,
        notes=notes,
    )
    show(f"what they say: {page}; every trial: {table}")


def _find_data(study: Study, records: list[TrialRecord]) -> Path:
    """The folder that the last trial's data came from, whatever the study's file says."""
    said = [record.circumstances["data"] for record in select_records(study, records) if "data" in record.circumstances]
    return Path(said[-1]) if said else study.input_dir


def _summarise(config: RunConfig) -> str:
    """A net's layers, one per line: name, kind, shape of what it gives, parameters."""
    options: dict[str, Any] = read_options(config.model, config.net)
    model = build_model(config.model, weights=None, **options)
    rows = [("layer", "kind", "output", "parameters")]
    rows += [
        (layer.name, type(layer).__name__, str(tuple(layer.output.shape[1:])), f"{layer.count_params():,}")
        for layer in model.layers
    ]
    rows.append(("in all", "", "", f"{model.count_params():,}"))
    widths = [max(len(row[place]) for row in rows) for place in range(4)]
    return "\n".join(
        f"{name:<{widths[0]}}  {kind:<{widths[1]}}  {shape:<{widths[2]}}  {count:>{widths[3]}}"
        for name, kind, shape, count in rows
    )
