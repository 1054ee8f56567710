"""What a kernel does on Kaggle's machine: find its data, cross-validate, and write its results where Kaggle looks.

Kaggle mounts what is attached, read-only, somewhere under /kaggle/input: competitions/digit-recognizer or
digit-recognizer, datasets/<owner>/<name> or <name>, notebooks/<owner>/<name> or <name>. The files in /kaggle/working
are a version's output, if it ends before Kaggle's time limit.
"""

import contextlib
import os
import shlex
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digit_recognizer.config import RunConfig, flag
from digit_recognizer.console import TerminatedError, print_line, raise_on_signals
from digit_recognizer.data.dataset import find_competition_data, load_dataset, load_train, pixels_to_images
from digit_recognizer.data.labels import DIGITS
from digit_recognizer.errors import InputError
from digit_recognizer.evaluation.metrics import count_confusions
from digit_recognizer.io import read_json, write_json
from digit_recognizer.models import build_config, load_model_module
from digit_recognizer.records import CONFIG, METRICS
from digit_recognizer.reporting.error_report import SHEET_ROWS, find_hardest, plot_rows
from digit_recognizer.reporting.plots import (
    plot_class_counts,
    plot_confusion_matrix,
    plot_learning_curves,
    plot_samples,
    save_figure,
)
from digit_recognizer.training.cross_validation import CVResult, resume, run_cross_validation
from digit_recognizer.training.run import load_history

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INPUT, WORKING = Path("/kaggle/input"), Path("/kaggle/working")
RUN, SUBMISSION = "run", "submission.csv"
PATH_FIELDS = ("input_dir", "run_dir", "submission", "weights")  # may differ the next time, and mean the same


class Session:
    """One version of a kernel.

    Attributes:
        config: the model's recipe with the settings, and paths as on Kaggle.
        result: of the cross-validation; None before it, or if the time ran out.
    """

    def __init__(
        self,
        model: str,
        settings: Mapping[str, Any],
        hours: float,
        inputs: Path = INPUT,
        working: Path = WORKING,
    ) -> None:
        """Find what is attached.

        Args:
            model: its name.
            settings: fields of `RunConfig` that differ from the model's recipe.
            hours: after which the run stops and keeps its state, from now on.
            inputs: where attached data is mounted.
            working: where output goes.

        Raises:
            InputError: if the data, or a pretrained model's weights, are not attached, or a setting does not exist.
        """
        self.ends = time.monotonic() + 3600 * hours
        self.inputs, self.working = Path(inputs), Path(working)
        self.result: CVResult | None = None
        settings = dict(settings)
        config = build_config(model, settings.pop("smoke", False), **settings)
        self.config = config.replace(
            input_dir=find_competition_data(self.inputs),
            run_dir=self.working / RUN,
            submission=self.working / SUBMISSION if not config.limit_test else None,
            weights=self._find_weights(config),
        )

    def plot_data(self) -> list[Path]:
        """Draw how many rows each digit has, and the first examples of each."""
        train = load_train(self.config.input_dir / "train.csv")
        samples = plot_samples(pixels_to_images(train.pixels), train.labels)
        return self._save({"class_counts": plot_class_counts(train.labels), "samples": samples})

    def cross_validate(self) -> CVResult | None:
        """Cross-validate, or resume where an attached earlier version ran out of time.

        Returns:
            The result; None if the time ran out before. Then the output holds all that is needed to resume.

        Raises:
            InputError: if an earlier version was started with other settings or on other data.
        """
        earlier = find_earlier_run(self.inputs)
        try:
            with raise_on_signals(), _stopped_in_time(self.ends):
                if earlier is None:
                    call = format_run_command(self.config)
                    self.result = run_cross_validation(self.config, call=call)
                else:
                    self.result = self._resume(earlier)
        except TerminatedError:
            print_line(
                f"The time ran out; {RUN}/ keeps what is done. To resume, attach this version's output to the "
                "kernel (python -m digit_recognizer.kernel build MODEL --resume, or Add Input on the website) and run "
                "it again."
            )
        return self.result

    def plot_results(self) -> list[Path]:
        """Draw learning curves, confusions and the hardest digits; nothing if the time ran out."""
        if self.result is None:
            return []
        dataset, oof = load_dataset(self.config), self.result.oof_probabilities
        labels, predictions = dataset.labels, oof.argmax(axis=1)
        hardest = find_hardest(labels, oof, SHEET_ROWS)
        caption = f"the {len(hardest)} hardest of {len(labels):,} rows"
        history, title = load_history(self.working / RUN), f"{self.config.model}: learning curves"
        history = history[history["fold"] < self.config.folds]  # then come those fitted on all rows
        figures = {
            "curves": plot_learning_curves(history, title, final_accuracies=self.result.score.fold_accuracies),
            "confusion": plot_confusion_matrix(count_confusions(labels, predictions, len(DIGITS.names))),
            "hardest": plot_rows(dataset.images, labels, oof, hardest, DIGITS.names, caption),
        }
        return self._save(figures)

    def _save(self, figures: "dict[str, Figure]") -> list[Path]:
        paths = [self.working / f"{name}.png" for name in figures]
        for path, figure in zip(paths, figures.values(), strict=True):
            save_figure(figure, path)
        return paths

    def _resume(self, earlier: Path) -> CVResult:
        if (earlier / METRICS).exists():
            raise InputError("kernel.earlier_finished", path=earlier.parent)
        print_line(f"resuming the run of an earlier version, in {earlier}")
        path = self.working / RUN
        shutil.copytree(earlier, path, copy_function=shutil.copyfile)
        content = read_json(path / CONFIG)
        for name, value in self.config.to_json().items():
            if name in PATH_FIELDS:
                content[name] = value
            elif content.get(name) != value:
                received = content.get(name)
                raise InputError("kernel.earlier_differs", column=flag(name), received=received, other=value)
        write_json(path / CONFIG, content)
        # Kaggle's machines differ from session to session; what differed is in metrics.json
        return resume(path, "cv", allow_inexact=True, submission=self.config.submission)

    def _find_weights(self, config: RunConfig) -> str:
        module = load_model_module(config.model)
        if config.weights != "imagenet" or not hasattr(module, "BACKBONE"):
            return config.weights
        found = sorted(self.inputs.rglob(module.BACKBONE.file))
        if not found:
            file, source = module.BACKBONE.file, module.WEIGHTS_SOURCE
            raise InputError("kernel.no_weights_attached", received=config.model, file=file, source=source)
        return str(found[0])


def find_earlier_run(inputs: Path) -> Path | None:
    """The run folder in an earlier version's output, if one is attached.

    Raises:
        InputError: if several are.
    """
    found = sorted(path.parent for path in inputs.rglob(f"{RUN}/{CONFIG}"))
    if len(found) > 1:
        raise InputError("kernel.several_earlier", path=found[0], other=found[1])
    return found[0] if found else None


@contextlib.contextmanager
def _stopped_in_time(ends: float) -> Iterator[None]:
    """Terminate this process by SIGTERM when its time is up, as a batch queue does."""
    timer = threading.Timer(max(0.0, ends - time.monotonic()), os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # its signal must reach our handler, not the system's


def format_run_command(config: RunConfig) -> str:
    """The command that does the same elsewhere, which the run and its submission record."""
    recipe = build_config(config.model, config.smoke).to_json()
    words = ["python", "-m", "digit_recognizer.cv", "--model", config.model, *["--smoke"] * config.smoke]
    for name, value in config.to_json().items():
        if name not in PATH_FIELDS and value != recipe[name]:
            values = value if isinstance(value, list) else [] if value is True else [value]
            words += [flag(name), *map(str, values)]
    return shlex.join(words)
