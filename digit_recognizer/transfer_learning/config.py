"""What `transfer` is told: the net, the folders, and how the new output layer is fitted. No Keras is needed here."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from digit_recognizer.config import HIGHEST_SEED, RunConfig, flag
from digit_recognizer.errors import InputError

READY, PHOTOGRAPHS = "ready", "resnet152v2"

LOWEST = {"seed": 0, "seeds": 1, "copies": 0, "epochs": 1, "batch_size": 1, "neighbours": 1, "unfreeze_epochs": 1}
MOST_COPIES = 100_000  # of all images together: their embeddings have 100 MB with 256 numbers each
MOST_SEEDS = 1000


@dataclass(frozen=True, kw_only=True)
class TransferConfig:
    """What a transfer does. The defaults are for letters; `resnet152v2` has its own (see `choose_defaults`)."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run folder, whose first fold's net is taken; ready for the model that travels with the package; or resnet152v2
    for colour photographs."""
    images: Path
    """Folder of training pictures: a folder per class in it, named after the class."""
    test: Path | None = None
    """Folder of other pictures of the same classes, judged once, after training; nothing is chosen by it."""
    run_dir: Path | None = None
    """This transfer's own folder; None stands for runs/<time>-transfer."""

    seed: int = 0
    """Every choice left to chance derives from it: copies, first weights, order, and which pictures are held out."""
    seeds: int = 5
    """Repeat with so many seeds, one after the other; the net that is kept is that of the first."""
    copies: int = 100
    """Altered copies of each training picture, mapped and with other strokes; of letters only."""
    epochs: int = 20
    """Passes over all copies for the output layer."""
    batch_size: int = 256
    """Copies in one gradient step."""
    learning_rate: float = 1e-2
    """Of Adam for the output layer, falling by half a cosine."""
    label_smoothing: float = 0.1
    """Share of each target that is spread evenly over all classes."""
    neighbours: int = 3
    """How many nearest neighbours vote, beside the net."""

    unfreeze: str | None = None
    """Then also train the net from this layer on; of letters only."""
    unfreeze_epochs: int = 5
    """Epochs of that."""
    unfreeze_learning_rate: float = 1e-4
    """Of Adam in that; small, or what was learned before is lost."""
    weights: str = "imagenet"
    """resnet152v2 only: imagenet, none, or a weights file (the official notop .h5)."""

    def __post_init__(self) -> None:
        """Refuse what no transfer can mean.

        Raises:
            InputError: one line that names the flag, what was received and what it takes.
        """
        for name, lowest in LOWEST.items():
            if getattr(self, name) < lowest:
                raise InputError(f"{flag(name)} takes a number of at least {lowest}; received {getattr(self, name)}.")
        if self.seed > HIGHEST_SEED:
            raise InputError(f"--seed takes a number of at most {HIGHEST_SEED}; received {self.seed}.")
        if self.seeds > MOST_SEEDS:
            raise InputError(f"--seeds takes a number of at most {MOST_SEEDS}; received {self.seeds}.")
        for name in ("learning_rate", "unfreeze_learning_rate"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"{flag(name)} takes a number between 0 and 1; received {getattr(self, name)}.")
        if not 0 <= self.label_smoothing < 1:
            raise InputError(f"--label-smoothing takes a number from 0 to below 1; received {self.label_smoothing}.")
        if self.run == PHOTOGRAPHS and (self.copies or self.unfreeze is not None):
            given = "--copies" if self.copies else "--unfreeze"
            raise InputError(f"{given} is for letters: {PHOTOGRAPHS} stays frozen, and its features are computed once.")
        if self.run != PHOTOGRAPHS and self.weights != "imagenet":
            raise InputError(f"--weights is for {PHOTOGRAPHS}; {self.run} has weights of its own: leave it out.")

    @property
    def model(self) -> str:
        """What a run folder is named after."""
        return "transfer"

    def to_json(self) -> dict[str, Any]:
        """Every field as JSON can hold it, in the order above."""
        return {k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(self).items()}

    def describe_fit(self, seed: int) -> RunConfig:
        """How a fit with one seed goes, in the terms of `cv`."""
        return RunConfig(
            epochs=self.epochs,
            seed=seed,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            label_smoothing=self.label_smoothing,
            schedule="cosine",
            augmentation="none",
        )


def choose_defaults(arguments: list[str]) -> TransferConfig:
    """The defaults that hold for the net named among the arguments, without the program's name."""
    blank: Any = tyro.MISSING  # to be given on the command line
    letters = TransferConfig(run=blank, images=blank)
    if PHOTOGRAPHS not in arguments:
        return letters
    # as document 002: ten epochs, of which it shows five; its 655 steps in each are 80 % of its pictures by 32
    return dataclasses.replace(
        letters, seeds=1, copies=0, epochs=10, batch_size=32, learning_rate=1e-3, label_smoothing=0.0
    )
