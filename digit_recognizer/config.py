"""The one configuration of a run: frozen, typed, and the source of every command-line flag.

A run is settled by three layers, each a difference from the one before: the defaults below, the model's preset (in
the model's own file, `digit_recognizer/models/<name>.py`), and the flags that were typed.
"""

import dataclasses
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from digit_recognizer.errors import InputError

Preprocess = Literal["none", "deskew", "widen"]
Augmentation = Literal["none", "affine", "flip", "elastic", "cutout", "all"]
Schedule = Literal["constant", "step", "cosine", "one-cycle", "plateau"]
Optimizer = Literal["adam", "adagrad", "muon"]
TestTimeAugmentation = Literal[1, 5, 9]
Precision = Literal["auto", "float32", "bfloat16", "float16"]


class Settings(typing.Protocol):
    """What a run folder needs to know of the configuration that it is filled by."""

    @property
    def model(self) -> str:
        """What the folder is named after."""

    @property
    def run_dir(self) -> Path | None:
        """The folder; None stands for one under runs/."""

    def to_json(self) -> dict[str, Any]:
        """Every field as JSON can hold it."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What a run of `cv` or `train` does.

    Equal configurations give equal runs on equal data, versions, thread counts and precision (which auto times).
    """

    model: str = "baseline"
    """Which network: alexnet, baseline, champion, convolutional, dense, journal, lenet5, narrow, padded, residual,
    resnet, vgg16, wide, or a file of digit_recognizer/models/."""
    model_args: tuple[str, ...] = ()
    """Options of the network, as dropout=0.3 kernel_px=4; --help with its --model tells which it has."""
    input_dir: Path = Path("input")
    """Folder that holds train.csv, test.csv and sample_submission.csv."""
    run_dir: Path | None = None
    """This run's own folder; None stands for runs/<time>-<model>."""
    submission: Path | None = None
    """Submission file to write; None stands for one under submissions/, whose name carries model and score."""
    tensorboard: bool = False
    """Also write the curves for `tensorboard --logdir runs`, into the run folder; needs the extra `trackers`."""

    folds: int = 5
    """Stratified folds of cv; each row is held out in exactly one. `train` holds out one such fold (5: 20 %)."""
    epochs: int = 20
    """Passes over the rows being fitted; the last one counts unless early stopping is on."""
    seed: int = 0
    """Every choice left to chance derives from it: folds, initial weights, order, augmentation, dropout."""
    split_seed: int | None = None
    """Draws the folds alone, so that runs of several seeds hold out the same rows; None takes the seed."""
    batch_size: int = 256
    """Images in one gradient step."""
    optimizer: Optimizer = "adam"
    """How a gradient becomes a step: see digit_recognizer/training/optimizers.py."""
    learning_rate: float = 1e-3
    """Of the optimizer (muon takes tens of times adam's); the peak of a schedule that rises and falls."""
    weight_decay: float = 0.0
    """Share of each kernel that a step takes away, times the learning rate (Loshchilov and Hutter 2019)."""
    label_smoothing: float = 0.0
    """Share of each target that is spread evenly over all classes (Szegedy et al. 2016, section 7)."""
    schedule: Schedule = "one-cycle"
    """How the learning rate changes: see digit_recognizer/training/optimizers.py."""
    preprocess: Preprocess = "none"
    """What is done once to every image, test images too: nets that see digits otherwise err otherwise (ensembles)."""
    augmentation: Augmentation = "affine"
    """What is done to every training image anew in every epoch: see digit_recognizer/data/augmentation.py.
    affine suits what is written, kana as well as digits; clothes lose by it, and flip is for them alone."""
    synthetic_ratio: float = 0.0
    """Further digits per digit being fitted, decoded by an autoencoder between the codes of near ones (0: none)."""
    patience: int = 0
    """Stop after this many epochs without a lower loss on the watched rows, and take the best epoch (0: off)."""
    validation_fraction: float = 0.1
    """Share of the fitted rows set aside for early stopping and plateau; never the fold that is reported."""
    tta: TestTimeAugmentation = 1
    """Held-out and test images are judged by the mean of so many copies, moved by up to a pixel: 1, 5 or 9."""
    precision: Precision = "auto"
    """Number format of the layers' arithmetic; auto times a convolution in each and takes the faster."""
    devices: int = 1
    """Devices (GPUs) that one net is fitted on at once, each with its share of a batch; more than one on JAX only."""

    weights: str = "imagenet"
    """Transfer nets: imagenet, none, or a weights file (the official notop .h5)."""
    unfreeze: str | None = None
    """Transfer nets: after the head, fine-tune the backbone from this block on (block1 to block5)."""
    unfreeze_epochs: int = 5
    """Transfer nets: epochs of fine-tuning."""
    unfreeze_learning_rate: float = 1e-5
    """Transfer nets: adam's learning rate while fine-tuning (muon's is larger); small, or the filters are lost."""
    cached_augmentations: int = 1
    """Transfer nets: cached views of each image, the first unaugmented; augmentation needs 2 or more."""

    limit_train: int = 0
    """Use only this many rows of train.csv, drawn evenly from every class (0: all)."""
    limit_test: int = 0
    """Predict only the first rows of test.csv (0: all); with fewer than all there is no submission."""
    smoke: bool = False
    """Any run in seconds, to see that it runs: few rows, one epoch, two folds. Its score means nothing."""

    def __post_init__(self) -> None:
        """Refuse what no run can mean.

        Raises:
            InputError: one line that names the flag, what was received and what it takes.
        """
        for name, lowest in LOWEST.items():
            value = getattr(self, name)
            if not value >= lowest:  # `not >=` also refuses NaN
                raise InputError(f"{flag(name)} takes a number of at least {lowest}; received {value}.")
        for name in ("seed", "split_seed"):
            if (value := getattr(self, name)) is not None and not 0 <= value <= HIGHEST_SEED:
                raise InputError(f"{flag(name)} takes a number from 0 to {HIGHEST_SEED}; received {value}.")
        for name in ("learning_rate", "unfreeze_learning_rate"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise InputError(f"{flag(name)} takes a number between 0 and 1; received {value}.")
        if self.batch_size % self.devices:
            raise InputError(f"--batch-size takes a multiple of --devices {self.devices}; received {self.batch_size}.")
        if self.devices > 1 and self.synthetic_ratio:
            raise InputError(
                f"--synthetic-ratio is for one device; received {self.synthetic_ratio} with --devices {self.devices}."
            )
        if not 0 < self.validation_fraction < 1:
            raise InputError(
                f"--validation-fraction takes a share between 0 and 1; received {self.validation_fraction}."
            )
        if not 0 <= self.synthetic_ratio <= MOST_GENERATED:
            raise InputError(
                f"--synthetic-ratio takes a number from 0 to {MOST_GENERATED}; received {self.synthetic_ratio}."
            )
        for name in ("weight_decay", "label_smoothing"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise InputError(f"{flag(name)} takes a number from 0 to below 1; received {value}.")

    def replace(self, **changes: Any) -> "RunConfig":
        """The same configuration but for the fields named."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Every field as JSON can hold it, in the order above."""
        fields = dataclasses.asdict(self)
        return {k: str(v) if isinstance(v, Path) else list(v) if isinstance(v, tuple) else v for k, v in fields.items()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "RunConfig":
        """The configuration that `to_json` gave.

        Raises:
            InputError: if a field is missing, unknown or of another type.
        """
        kinds = typing.get_type_hints(cls)
        for name in {*kinds, *content}:
            if (name in kinds) != (name in content):
                raise InputError(f"{name!r} is {'missing' if name in kinds else 'no setting of this version'}")
        values: dict[str, Any] = {}
        for name, kind in kinds.items():
            value = content[name]
            if isinstance(value, str) and "\0" in value:
                raise InputError(f"{name!r} holds a NUL byte")
            if isinstance(value, str) and Path in (kind, *typing.get_args(kind)):
                value = Path(value)
            elif isinstance(value, list) and typing.get_origin(kind) is tuple:
                value = tuple(value)
            values[name] = value
            if not _fits(values[name], kind):
                raise InputError(f"{name!r} takes {_name_kind(kind)}; received {repr(content[name])[:40]}")
        return cls(**values)

    @property
    def watches(self) -> bool:
        """Whether a slice of the fitted rows is set aside to steer the run."""
        return self.patience > 0 or self.schedule == "plateau"


HIGHEST_SEED = 2**32 - 1
MOST_GENERATED = 10  # of all 42,000 rows that takes 300 MB
LOWEST = {
    "folds": 2,
    "epochs": 1,
    "batch_size": 1,
    "devices": 1,
    "patience": 0,
    "unfreeze_epochs": 1,
    "cached_augmentations": 1,
    "limit_train": 0,
    "limit_test": 0,
}

# 500 rows hold about fifty of each class, so two folds stay stratified; one epoch of a few steps shows that all runs.
SMOKE: dict[str, Any] = {"folds": 2, "epochs": 1, "limit_train": 500, "batch_size": 50}


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is of the type that a field declares."""
    if typing.get_origin(kind) is Literal:
        return value in typing.get_args(kind)
    if typing.get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(isinstance(one, str) for one in value)
    if typing.get_args(kind):  # a choice of types, of which one may be None
        return any(_fits(value, one) for one in typing.get_args(kind))
    return isinstance(value, (float, int) if kind is float else kind) and isinstance(value, bool) == (kind is bool)


def _name_kind(kind: Any) -> str:
    """What a field takes, in words."""
    if typing.get_origin(kind) is Literal:
        *first, last = map(str, typing.get_args(kind))
        return f"{', '.join(first)} or {last}"
    if typing.get_origin(kind) is tuple:
        return "a list of texts"
    if typing.get_args(kind):
        return " or ".join(_name_kind(one) for one in typing.get_args(kind))
    return {int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}.get(kind, "a text")


def flag(name: str) -> str:
    """The command-line spelling of a field: `batch_size` becomes `--batch-size`."""
    return "--" + name.replace("_", "-")
