"""The flags of `transfer`: the model, the folders, and how the new output layer is trained. Imports no Keras."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from digit_recognizer.arguments import Positional
from digit_recognizer.config import Recorded, RunConfig, expand_path, flag, is_user_model
from digit_recognizer.errors import InputError
from digit_recognizer.records import CONFIG
from digit_recognizer.training.run import find_fold_weights, load_metrics, load_run_config
from digit_recognizer.training.transfers import PHOTOGRAPHS

READY = "ready"

LOWER_BOUNDS = {"seeds": 1, "copies": 0, "neighbours": 1}
MAX_COPIES = 100_000  # of all images together: their embeddings take 100 MB with 256 numbers each


@dataclass(frozen=True, kw_only=True)
class TransferConfig(Recorded):
    """What a transfer does. The defaults are for letters; resnet152v2 has its own (see `choose_defaults`)."""

    run: Annotated[str, Positional("RUN")]
    """A run folder of cv or train, whose first fold's model is used; ready for the packaged model; or resnet152v2 for
    colour photographs."""
    images: Path
    """Folder of training pictures: a folder per class in it, named after the class."""
    test: Path | None = None
    """Folder of other pictures of the same classes, evaluated once; nothing is chosen by it. Without it, a part of
    --images is held out for that."""
    run_dir: Path | None = None
    """The run folder of this transfer (default: runs/<time>-transfer)."""

    seed: int = 0
    """All randomness derives from it: copies, initial weights, order, and which pictures are held out."""
    seeds: int = 5
    """Repeat with so many seeds; the model that is best on held-out pictures of --images is kept."""
    copies: int = 100
    """Letters only: altered copies of each training picture, mapped and with thinner or thicker strokes."""
    epochs: int = 20
    """Passes over all copies for the output layer."""
    batch_size: int = 256
    """Copies in one gradient step, at most."""
    learning_rate: float = 1e-2
    """Of Adam for the output layer; a cosine schedule lowers it."""
    label_smoothing: float = 0.1
    """Share of each target that is spread over all classes."""
    neighbours: int = 3
    """How many nearest neighbours vote; predict uses them where their validation is better than the model's."""

    unfreeze: str | None = None
    """Letters only: after the output layer, fine-tune the model from this layer on."""
    unfreeze_epochs: int = 5
    """Epochs of fine-tuning."""
    unfreeze_learning_rate: float = 1e-4
    """Of Adam while fine-tuning; keep it small, or the filters are lost."""
    weights: str = "imagenet"
    """resnet152v2 only: imagenet, none, or a weights file (the official notop .h5)."""

    def __post_init__(self) -> None:
        """Refuse values that no transfer can have.

        Raises:
            InputError: names the flag, what was received and what it takes.
        """
        for name in ("run", "weights"):  # texts that may be paths
            if str(value := getattr(self, name)).startswith("~"):
                object.__setattr__(self, name, str(expand_path(value)))
        for name, lowest in LOWER_BOUNDS.items():
            if getattr(self, name) < lowest:
                raise InputError("config.too_low", column=flag(name), received=getattr(self, name), lowest=lowest)
        self.training(self.seed)  # refuses the others
        if self.run == PHOTOGRAPHS and (self.copies or self.unfreeze is not None):
            raise InputError(
                "transfer.letters_only", column="--copies" if self.copies else "--unfreeze", received=self.run
            )
        if self.run != PHOTOGRAPHS and self.weights != "imagenet":
            raise InputError("transfer.photographs_only", column="--weights", received=self.run)

    @property
    def model(self) -> str:
        """What a run folder is named after."""
        return "transfer"

    def training(self, seed: int) -> RunConfig:
        """How the output layer is trained with one seed, as a configuration of `cv`."""
        return RunConfig(
            epochs=self.epochs,
            seed=seed,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            label_smoothing=self.label_smoothing,
            schedule="cosine",
            augmentation="none",
            unfreeze_epochs=self.unfreeze_epochs,
            unfreeze_learning_rate=self.unfreeze_learning_rate,
        )


def choose_defaults(arguments: list[str]) -> dict[str, Any]:
    """What differs from the defaults for letters, for the model named among the arguments."""
    if PHOTOGRAPHS not in arguments:
        return {}
    # as the seed report inside-and-transfer: its 655 steps in each epoch are 80 % of its pictures by 32
    return {
        **{"seeds": 1, "copies": 0, "epochs": 10, "batch_size": 32},
        **{"learning_rate": 1e-3, "label_smoothing": 0.0},
    }


def check_base_model(run: str) -> None:
    """Refuse what is neither a finished run of cv or train with its first model, nor one of the names, without Keras.

    Raises:
        InputError: says what the folder lacks.
    """
    if run in (READY, PHOTOGRAPHS):
        return
    folder = Path(run)
    if not (folder / CONFIG).is_file():
        raise InputError("transfer.no_base_model", path=folder, received=run)
    config, _ = load_run_config(folder, "cv", "train")
    if is_user_model(config.model):  # its letters could not be read: a transfer's model is built without anybody's code
        raise InputError("transfer.foreign_model", path=folder, received=config.model_name)
    load_metrics(folder)
    if not (weights := find_fold_weights(folder, 0)).is_file():
        raise InputError("run.fold_model_missing", path=weights)
