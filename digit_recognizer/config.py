"""The one configuration of a run: frozen, typed, and the source of every command-line flag.

Its values come from five places, later ones override earlier ones: the defaults below, the model's recipe (`PRESET` in
the model's own file, `digit_recognizer/models/<name>.py`), the file of `--config`, `SMOKE` with `--smoke`, and the
other flags that were typed. `smoke = true` in the file comes before the file's other settings.
"""

import dataclasses
import json
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from digit_recognizer.errors import InputError, suggest

Preprocess = Literal["none", "deskew", "widen"]
Augmentation = Literal["none", "affine", "flip", "clothes", "elastic", "cutout", "all"]
Schedule = Literal["constant", "step", "cosine", "one-cycle", "plateau"]
Optimizer = Literal["adam", "adagrad", "muon"]
TestTimeAugmentation = Literal[1, 2, 5, 9, 10, 11]
MIRRORED = 2, 10  # values of tta that take mirror images too
Precision = Literal["auto", "float32", "bfloat16", "float16"]

HIGHEST_SEED = 2**32 - 1
MAX_SYNTHETIC_RATIO = 10  # of all 42,000 rows that takes 300 MB
LOWER_BOUNDS: dict[str, int] = {
    "folds": 2,
    "epochs": 1,
    "batch_size": 1,
    "devices": 1,
    "patience": 0,
    "unfreeze_epochs": 1,
    "cached_augmentations": 1,
    "limit_train": 0,
    "limit_test": 0,
    "refit": 0,
    "refit_epochs": 0,
    "small_epochs": 0,
}
UPPER_BOUNDS: dict[str, int] = {  # far above any use; a folder from elsewhere may hold any number
    "folds": 1000,
    "epochs": 100_000,
    "batch_size": 1_000_000,
    "devices": 1024,
    "patience": 100_000,
    "unfreeze_epochs": 100_000,
    "cached_augmentations": 1000,
    "refit": 1000,
    "refit_epochs": 100_000,
    "small_epochs": 100_000,
}

# the config.json of an older run lacks them: it used their defaults
SINCE_0_3 = ("refit", "refit_epochs", "refit_preprocess", "small_epochs")

# the peak of a refit's learning rate, if it continues a trained model, as a share of --learning-rate: with 1 the log
# loss is higher, 1/2 and 1/4 do not differ (docs/what-was-tried.md)
CONTINUED_RATE = 0.5

FUNCTION = "function:"  # before the name of a model that a Python function builds

# 500 rows hold about fifty of each class, so two folds stay stratified; one epoch of a few steps shows that all runs.
# All of test.csv is predicted, for a submission that can rehearse the real one, but each image once.
SMOKE: dict[str, Any] = {"folds": 2, "epochs": 1, "limit_train": 500, "batch_size": 50, "tta": 1, "small_epochs": 0}


class Recorded:
    """A dataclass that a config.json keeps."""

    def to_json(self: Any) -> dict[str, Any]:
        """Every field as JSON can hold it, in their order: paths as texts."""
        content: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), default=str))
        return content


@dataclass(frozen=True, kw_only=True)
class RunConfig(Recorded):
    """What a run of `cv` or `train` does; `python -m digit_recognizer.cv --help` says what every field means.

    The same configuration gives the same bytes on the same data, versions, thread count and precision.

    Example:
        >>> RunConfig(model="narrow", epochs=3).folds
        5
    """

    model: str = "baseline"
    """Architecture: alexnet, baseline, champion, convolutional, dense, journal, lenet5, narrow, padded, residual,
    resnet, resnet9, vgg16, wide, or the path of a model's file (path/to/mine.py)."""
    model_args: tuple[str, ...] = ()
    """Arguments of the model, such as dropout=0.3 kernel_px=4; --help with --model lists them."""
    input_dir: Path = Path("input")
    """Folder with train.csv, test.csv and sample_submission.csv."""
    run_dir: Path | None = None
    """Folder of this run (default: runs/<time>-<model>)."""
    submission: Path | None = None
    """Submission file to write (default: one under submissions/, named after model and score)."""
    tensorboard: bool = False
    """Also write event files for `tensorboard --logdir runs`; needs the extra `trackers`."""

    folds: int = 5
    """Stratified folds of cv; every row is held out in exactly one. `train` holds out one fold (5 folds: 20 %)."""
    epochs: int = 20
    """Passes over the training set; the last epoch's model counts, unless early stopping is on."""
    refit: int = 0
    """After the folds, fit N more models on all rows; the submission is then their average (0: that of the folds'
    models)."""
    refit_epochs: int = 0
    """Epochs of each refit, at half the learning rate and at most --epochs: it continues the model of a fold, and the
    folds take turns (`train` has one only). 0: it starts from scratch and has --epochs, as it always does with early
    stopping, plateau or --unfreeze."""
    seed: int = 0
    """All randomness derives from it: folds, initial weights, order of rows, augmentation, dropout."""
    split_seed: int | None = None
    """Seed of the folds alone, so that runs with several seeds hold out the same rows (default: --seed)."""
    batch_size: int = 256
    """Images in one gradient step, at most: an epoch is split into batches of nearly equal size."""
    optimizer: Optimizer = "adam"
    """adam; adagrad, which lowers the rate of each weight; or muon, which needs fewer epochs on convolutions."""
    learning_rate: float = 1e-3
    """Peak of the schedule; muon needs tens of times adam's."""
    weight_decay: float = 0.0
    """Decoupled weight decay of the kernels (Loshchilov and Hutter 2019)."""
    label_smoothing: float = 0.0
    """Share of each target that is spread over all classes (Szegedy et al. 2016, section 7)."""
    schedule: Schedule = "one-cycle"
    """How the learning rate changes: constant; step (halved five times); cosine (falls); one-cycle (rises, then falls);
    plateau (lowered when the validation loss stops falling)."""
    small_epochs: int = 0
    """The first N epochs see images shrunk from 28 px to 20, which takes half the time. If half of all epochs do,
    errors grow by a few per cent. For models that take any size."""
    preprocess: Preprocess = "none"
    """Applied once to every image, test images too: models that see other images make other errors (for ensembles)."""
    refit_preprocess: tuple[Preprocess, ...] = ()
    """Preprocessing of the models of --refit, in turn (default: --preprocess)."""
    augmentation: Augmentation = "affine"
    """Random changes of every training image in every epoch. For handwriting, kana as well as digits: affine (shift,
    size, turn, slant), elastic, cutout, or all three (all). For clothes alone: flip, or clothes, which flips too and
    covers a part of some images with noise."""
    synthetic_ratio: float = 0.0
    """Synthetic digits per training digit, decoded by an autoencoder between the codes of similar ones (0: none)."""
    patience: int = 0
    """Early stopping: end after N epochs without a lower validation loss, and keep the best epoch (0: off)."""
    validation_fraction: float = 0.1
    """Share of the training rows set aside for early stopping and plateau; never the fold that is scored."""
    tta: TestTimeAugmentation = 1
    """Test-time augmentation: average predictions over 5 or 9 versions of each image, shifted by up to a pixel, or over
    11: shifted, turned, larger, smaller and slanted (1: the image alone). For clothes alone: 2, the image and its
    mirror image, and 10, five shifts of each of the two."""
    precision: Precision = "auto"
    """Number format of the layers; auto takes what ran a convolution fastest, measured once per machine and backend."""
    devices: int = 1
    """GPUs that train one model together, each with its share of a batch; more than one needs JAX."""

    weights: str = "imagenet"
    """Transfer models: imagenet, none, or a weights file (the official notop .h5)."""
    unfreeze: str | None = None
    """Transfer models: after the head, fine-tune the backbone from this block on (block1 to block5)."""
    unfreeze_epochs: int = 5
    """Transfer models: epochs of fine-tuning."""
    unfreeze_learning_rate: float = 1e-5
    """Transfer models: adam's learning rate while fine-tuning (muon needs more); a large one destroys the filters."""
    cached_augmentations: int = 1
    """Transfer models: cached versions of each image, the first unchanged; augmentation needs 2 or more."""

    limit_train: int = 0
    """Use a stratified sample of N rows of train.csv (0: all)."""
    limit_test: int = 0
    """Predict only the first N rows of test.csv (0: all); there is a submission only with all."""
    smoke: bool = False
    """Check in seconds that everything runs: few rows, one epoch, two folds. Its score means nothing."""

    def __post_init__(self) -> None:
        """Refuse invalid values.

        Raises:
            InputError: names the flag, what was received and what it takes.
        """
        for name in ("input_dir", "run_dir", "submission"):
            if (path := getattr(self, name)) is not None:
                object.__setattr__(self, name, expand_path(path))
        if self.weights.startswith("~"):
            object.__setattr__(self, "weights", str(expand_path(self.weights)))
        for name, lowest in LOWER_BOUNDS.items():
            if not getattr(self, name) >= lowest:  # `not >=` also refuses NaN
                self._refuse("config.too_low", name, lowest=lowest)
        for name, highest in UPPER_BOUNDS.items():
            if getattr(self, name) > highest:
                self._refuse("config.out_of_range", name, lowest=LOWER_BOUNDS[name], highest=highest)
        for name in ("seed", "split_seed"):
            if (value := getattr(self, name)) is not None and not 0 <= value <= HIGHEST_SEED:
                self._refuse("config.out_of_range", name, lowest=0, highest=HIGHEST_SEED)
        if not 0 <= self.synthetic_ratio <= MAX_SYNTHETIC_RATIO:
            self._refuse("config.out_of_range", "synthetic_ratio", lowest=0, highest=MAX_SYNTHETIC_RATIO)
        for name in ("learning_rate", "unfreeze_learning_rate", "validation_fraction"):
            if not 0 < getattr(self, name) < 1:
                self._refuse("config.not_between_0_and_1", name)
        for name in ("weight_decay", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                self._refuse("config.not_from_0_to_below_1", name)
        if self.small_epochs >= self.epochs:  # whole images come last: a model is scored on such
            self._refuse("config.out_of_range", "small_epochs", lowest=0, highest=self.epochs - 1)
        if self.small_epochs and self.needs_validation:
            self._refuse("config.small_epochs_with_validation", "small_epochs")
        if self.batch_size % self.devices:
            self._refuse("config.batch_per_device", "batch_size", devices=self.devices)
        if self.devices > 1 and self.synthetic_ratio:
            self._refuse("config.synthetic_on_devices", "synthetic_ratio", devices=self.devices)

    def _refuse(self, code: str, name: str, **details: Any) -> NoReturn:
        raise InputError(code, column=flag(name), received=getattr(self, name), **details)

    def replace(self, **changes: Any) -> "RunConfig":
        """The same configuration but for the fields named."""
        return dataclasses.replace(self, **changes)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "RunConfig":
        """The configuration that `to_json` gave.

        Raises:
            InputError: if a field is missing, unknown or of another type.
        """
        values = read_fields(cls, content)
        for field in dataclasses.fields(cls):
            if field.name not in values and field.name not in SINCE_0_3:
                raise InputError("config.field_missing", column=field.name)
        return cls(**values)

    @property
    def model_name(self) -> str:
        """What the model is called in file names and tables: its name, without the folder of its file."""
        return name_model(self.model)

    def choose_preprocessing(self, fold: int) -> Preprocess:
        """The preprocessing of a fold's model; refits are numbered after the folds, from `folds` on.

        Example:
            >>> RunConfig(folds=5, refit=2, refit_preprocess=("deskew", "none")).choose_preprocessing(6)
            'none'
        """
        if fold < self.folds or not self.refit_preprocess:
            return self.preprocess
        return self.refit_preprocess[(fold - self.folds) % len(self.refit_preprocess)]

    @property
    def continues_folds(self) -> bool:
        """Whether refits continue the models of folds: not with a validation set, since a fold has seen its rows."""
        return self.refit_epochs > 0 and not self.needs_validation and self.unfreeze is None

    def configure_fold(self, fold: int) -> "RunConfig":
        """How a fold's model is trained; refits are numbered after the folds.

        Example:
            >>> RunConfig(folds=5, epochs=12, refit=2, refit_epochs=4).configure_fold(6).epochs
            4
        """
        if fold < self.folds or not self.continues_folds:
            return self
        rate = CONTINUED_RATE * self.learning_rate
        return self.replace(epochs=min(self.refit_epochs, self.epochs), learning_rate=rate, small_epochs=0)

    def count_epochs(self, fold: int) -> int:
        """How many epochs a fold's model is trained, unless early stopping ends it."""
        return self.configure_fold(fold).epochs + (self.unfreeze_epochs if self.unfreeze else 0)

    @property
    def refits(self) -> range:
        """The fold numbers of the models fitted on all rows: they follow those of the folds."""
        return range(self.folds, self.folds + self.refit)

    @property
    def all_preprocessing(self) -> list[Preprocess]:
        """Each preprocessing that a model of the run takes, once."""
        return list(dict.fromkeys(self.choose_preprocessing(fold) for fold in range(self.folds + self.refit)))

    @property
    def needs_validation(self) -> bool:
        """Whether a validation set is taken from the training rows, to steer training."""
        return self.patience > 0 or self.schedule == "plateau"


def check_field_names(kind: type, names: Iterable[str]) -> None:
    """Refuse what is no field of a dataclass.

    Raises:
        InputError: for the first such name, with the field that may be meant.
    """
    known = [field.name for field in dataclasses.fields(kind)]
    for name in names:
        if name not in known:
            raise InputError("config.field_unknown", column=name, hint=suggest(name, known))


def read_fields(kind: type, content: dict[str, Any]) -> dict[str, Any]:
    """Values of some fields of a dataclass, as JSON or TOML has them.

    Raises:
        InputError: if one is unknown, or its value is of another type.
    """
    check_field_names(kind, content)
    kinds = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for name, value in content.items():
        wanted = kinds[name]
        if isinstance(value, str) and "\0" in value:
            raise InputError("config.field_has_nul", column=name)
        if isinstance(value, str) and Path in (wanted, *typing.get_args(wanted)):
            values[name] = Path(value)
        else:
            values[name] = tuple(value) if isinstance(value, list) and typing.get_origin(wanted) is tuple else value
        if not matches_type(values[name], wanted):
            received, expected = repr(value)[:40], describe_type(wanted)
            raise InputError("config.field_type", column=name, received=received, expected=expected)
    return values


def is_user_model(model: str) -> bool:
    """Whether a model is the user's: the path of a file or a Python function, and none of this package."""
    return model.endswith(".py") or model.startswith(FUNCTION)


def name_model(model: str) -> str:
    """What a model is called.

    Example:
        >>> name_model("narrow"), name_model("models/mine.py")
        ('narrow', 'mine')
    """
    return Path(model).stem if model.endswith(".py") else model.removeprefix(FUNCTION)


def matches_type(value: Any, kind: Any) -> bool:
    """Whether a value, as JSON or TOML has it, is of the type that a field declares; `Annotated` adds conditions."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return matches_type(value, arguments[0]) and all(condition(value) for condition in arguments[1:])
    if typing.is_typeddict(kind):
        kinds = typing.get_type_hints(kind, include_extras=True)
        fit = isinstance(value, dict) and kind.__required_keys__ <= value.keys()
        return fit and all(matches_type(one, kinds[name]) for name, one in value.items() if name in kinds)
    if origin is Literal:
        return any(type(value) is type(one) and value == one for one in arguments)  # True and 1.0 are no 1
    if origin in (tuple, list):
        return isinstance(value, (tuple, list)) and all(matches_type(one, arguments[0]) for one in value)
    if origin is dict:
        return isinstance(value, dict) and all(matches_type(one, arguments[1]) for one in value.values())
    if arguments:  # a choice of types, of which one may be None
        return any(matches_type(value, one) for one in arguments)
    if kind is Any:
        return True
    return isinstance(value, (float, int) if kind is float else kind) and isinstance(value, bool) == (kind is bool)


def describe_type(kind: Any) -> str:
    """The type of a field, in words.

    Example:
        >>> describe_type(tuple[int, ...]), describe_type(tuple[Literal["none", "deskew"], ...])
        ('a list of whole numbers', 'a list of none or deskew')
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        *first, last = map(str, arguments)
        return f"{', '.join(first)} or {last}"
    if origin in (tuple, list):
        one = describe_type(arguments[0])
        several = one if typing.get_origin(arguments[0]) is Literal else f"{one.removeprefix('a ')}s"
        return f"a list of {several}" if origin is list or ... in arguments else f"{len(arguments)} {several}"
    if origin is dict:
        return "a table"
    if arguments:
        return " or ".join(describe_type(one) for one in arguments)
    words = {int: "a whole number", float: "a number", bool: "true or false", Path: "a path", type(None): "null"}
    return words.get(kind, "a string")


def expand_path(path: Path | str) -> Path:
    """A path whose `~` is the home folder, as a shell has it.

    Example:
        >>> expand_path("runs/a~b")
        PosixPath('runs/a~b')
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:  # there is no such user
        return Path(path)


def flag(name: str) -> str:
    """The command-line spelling of a field: `batch_size` becomes `--batch-size`."""
    return "--" + name.replace("_", "-")
