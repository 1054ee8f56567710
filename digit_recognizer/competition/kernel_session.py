"""What a kernel does on Kaggle's machine: finds its data, cross-validates, and leaves its results where Kaggle looks.

Kaggle mounts what is attached, read-only, somewhere under /kaggle/input: competitions/digit-recognizer or
digit-recognizer, datasets/<owner>/<name> or <name>, notebooks/<owner>/<name> or <name>. What is left in /kaggle/working
is a version's output, if it ends of itself before Kaggle's limit.
"""

import contextlib
import csv
import inspect
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from digit_recognizer.config import RunConfig, flag
from digit_recognizer.console import TerminatedError, print_line, raise_on_signals
from digit_recognizer.data.dataset import load_dataset
from digit_recognizer.data.tables import load_train, pixels_to_images
from digit_recognizer.errors import InputError
from digit_recognizer.evaluation.metrics import count_confusions
from digit_recognizer.io import read_json, write_json
from digit_recognizer.models import build_config, load_model_module
from digit_recognizer.reporting.error_report import plot_hardest
from digit_recognizer.reporting.plots import (
    plot_class_counts,
    plot_confusion_matrix,
    plot_learning_curves,
    plot_samples,
    save_figure,
)
from digit_recognizer.training.cross_validation import CVResult, cross_validate, resume
from digit_recognizer.training.run import CONFIG, METRICS

INPUT, WORKING = Path("/kaggle/input"), Path("/kaggle/working")
COMPETITION = "digit-recognizer"
MOUNTS = (f"competitions/{COMPETITION}", COMPETITION)
RUN, SUBMISSION = "run", "submission.csv"
PLACES = ("input_dir", "run_dir", "submission", "weights")  # may lie elsewhere the next time, and mean the same


class Session:
    """One version of a kernel.

    Attributes:
        config: what is run; the settings over the model's recipe, the places as Kaggle has them.
        result: what it found; None before, and where the time ran out.
    """

    def __init__(
        self,
        model: str,
        settings: Mapping[str, Any],
        hours: float = 11.5,
        inputs: Path = INPUT,
        working: Path = WORKING,
    ) -> None:
        """Find what is attached.

        Args:
            model: its name.
            settings: fields of `RunConfig` that differ from the model's recipe.
            hours: after which the run stops, keeping its state; counted from here.
            inputs: where attached data is mounted.
            working: where output goes.

        Raises:
            InputError: if the data, or the weights of a transfer net, are not attached, or a setting is none.
        """
        self.ends = time.monotonic() + 3600 * hours
        self.inputs, self.working = Path(inputs), Path(working)
        self.result: CVResult | None = None
        settings = dict(settings)
        config = build_config(model, bool(settings.pop("smoke", False)), **settings)
        self.config = config.replace(
            input_dir=find_competition_data(self.inputs),
            run_dir=self.working / RUN,
            submission=self.working / SUBMISSION if not config.limit_test else None,
            weights=self._find_weights(config),
        )

    def plot_data(self) -> list[Path]:
        """Draw how many rows each digit has, and the first examples of each."""
        train = load_train(self.config.input_dir / "train.csv")
        counts, samples = self.working / "class_counts.png", self.working / "samples.png"
        save_figure(plot_class_counts(train.labels), counts)
        save_figure(plot_samples(pixels_to_images(train.pixels), train.labels), samples)
        return [counts, samples]

    def read_model(self) -> str:
        """The source of the model's file."""
        return inspect.getsource(load_model_module(self.config.model))

    def cross_validate(self) -> CVResult | None:
        """Cross-validate, or go on where an attached earlier version ran out of time.

        Returns:
            The result; None if the time ran out before, with all that is needed to go on left in the output.

        Raises:
            InputError: if an earlier version was begun with other settings or on other data.
        """
        earlier = find_earlier_run(self.inputs)
        try:
            with raise_on_signals(), _stopped_in_time(self.ends), _named_as_command(self.config):
                if earlier is None:
                    self.result = cross_validate(self.config)
                else:
                    self.result = self._go_on(earlier)
        except TerminatedError:
            print_line(
                f"The time ran out; {RUN}/ keeps what is done. Attach this version's output to the kernel (python -m "
                "digit_recognizer.kernel build MODEL --resume, or Add Input on the website) and run it again: it goes "
                "on from there."
            )
        return self.result

    def plot_results(self) -> list[Path]:
        """Draw the curves of training, the confusions and the hardest digits; nothing where the time ran out."""
        if self.result is None:
            return []
        curves, confusion, hardest = (self.working / f"{name}.png" for name in ("curves", "confusion", "hardest"))
        with (self.working / RUN / "history.csv").open(encoding="utf-8", newline="") as file:
            history = list(csv.DictReader(file))
        accuracies = self.result.score.fold_accuracies
        title = f"{self.config.model}: learning curves"
        save_figure(plot_learning_curves(history, title, final_accuracies=accuracies), curves)
        dataset, oof = load_dataset(self.config), self.result.oof_probabilities
        save_figure(plot_confusion_matrix(count_confusions(dataset.labels, oof.argmax(axis=1), 10)), confusion)
        save_figure(plot_hardest(dataset.images, dataset.labels, oof), hardest)
        return [curves, confusion, hardest]

    def _go_on(self, earlier: Path) -> CVResult:
        if (earlier / METRICS).exists():
            raise InputError(
                f"the attached earlier version has finished, and {earlier.parent} holds its submission.csv: detach it "
                "to begin anew."
            )
        print_line(f"going on with the run of an earlier version, in {earlier}")
        path = self.working / RUN
        shutil.copytree(earlier, path, copy_function=shutil.copyfile)
        content = read_json(path / CONFIG)
        begun = {name: value for name, value in content.items() if name in self.config.to_json()}
        for name, value in self.config.to_json().items():
            if name in PLACES:
                content[name] = value
            elif begun.get(name) != value:
                raise InputError(
                    f"the earlier version was begun with {flag(name)} {begun.get(name)}, but the settings say {value}: "
                    "restore that, or detach its output to begin anew."
                )
        write_json(path / CONFIG, content)
        # Kaggle's machines differ from session to session; what differed is in metrics.json
        return resume(path, "cv", allow_inexact=True)

    def _find_weights(self, config: RunConfig) -> str:
        module = load_model_module(config.model)
        if config.weights != "imagenet" or not hasattr(module, "WEIGHTS_FILE"):
            return config.weights
        found = sorted(self.inputs.rglob(module.WEIGHTS_FILE))
        if not found:
            raise InputError(
                f"{config.model} needs {module.WEIGHTS_FILE}, but nothing attached holds it: attach the data set "
                f"{module.WEIGHTS_SOURCE}."
            )
        return str(found[0])


def run_session(
    model: str, settings: Mapping[str, Any], hours: float, inputs: Path = INPUT, working: Path = WORKING
) -> CVResult | None:
    """All that a script kernel does; arguments and errors are those of `Session`."""
    session = Session(model, settings, hours, inputs, working)
    session.plot_data()
    session.cross_validate()
    session.plot_results()
    return session.result


def find_competition_data(inputs: Path) -> Path:
    """The folder that holds the competition's files, wherever Kaggle has mounted it.

    Raises:
        InputError: if nothing attached holds them.
    """
    searched = (path.parent for path in sorted(inputs.rglob("train.csv")))
    for folder in (*(inputs / mount for mount in MOUNTS), *searched):
        if all((folder / name).is_file() for name in ("train.csv", "test.csv", "sample_submission.csv")):
            return folder
    raise InputError(
        f"{inputs} must hold the competition's files, but does not: attach the competition {COMPETITION} to the kernel "
        "(Add Input on the website), and accept its rules."
    )


def find_earlier_run(inputs: Path) -> Path | None:
    """The run folder in an earlier version's output, if one is attached.

    Raises:
        InputError: if several are.
    """
    found = sorted(path.parent for path in inputs.rglob(f"{RUN}/{CONFIG}"))
    if len(found) > 1:
        raise InputError(
            f"one earlier version can be continued, but {found[0]} and {found[1]} are attached: detach one of them."
        )
    return found[0] if found else None


@contextlib.contextmanager
def _stopped_in_time(ends: float) -> Iterator[None]:
    """Have this process terminated, as tidily as by a batch queue, when its time is up."""
    timer = threading.Timer(max(0.0, ends - time.monotonic()), os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # its signal must find our handler, not the system's


@contextlib.contextmanager
def _named_as_command(config: RunConfig) -> Iterator[None]:
    """Let notes and configuration name the command that does the same elsewhere."""
    recipe = build_config(config.model, config.smoke).to_json()
    differing = {k: v for k, v in config.to_json().items() if k not in PLACES and recipe[k] != v}
    kept = sys.argv
    sys.argv = ["cv", "--model", config.model, *["--smoke"] * config.smoke]
    for name, value in differing.items():
        sys.argv += [flag(name), *map(str, value if isinstance(value, list) else [value])]
    try:
        yield
    finally:
        sys.argv = kept
