"""Small runs that are stopped, for the tests of resuming."""

from digit_recognizer.config import RunConfig
from digit_recognizer.io import hash_file
from digit_recognizer.models import load_preset
from digit_recognizer.training import checkpoint

RESULTS = ("oof_probabilities.npy", "test_probabilities.npy", "folds.npy")
RECIPES = {
    "dropout, augmentation, one cycle": {"model": "narrow", "epochs": 2, "batch_size": 20},
    "normalization, plateau, early stopping": {
        "model": "padded", "epochs": 2, "schedule": "plateau", "patience": 1, "batch_size": 10,
        "learning_rate": 0.3, "validation_fraction": 0.3,
    },
    "muon, weight decay, label smoothing, test-time augmentation, small images": {
        "model": "champion", **load_preset("champion"), "epochs": 2, "batch_size": 20, "precision": "bfloat16",
        "small_epochs": 1,
    },
    "fine-tuning": {
        "model": "vgg16", "weights": "none", "augmentation": "none", "epochs": 1, "unfreeze": "block5",
        "unfreeze_epochs": 1, "limit_train": 20, "batch_size": 5, "schedule": "constant",
    },
}  # fmt: skip


def configure(folder, name, recipe, **changes):
    defaults = {"input_dir": folder, "folds": 2, "precision": "float32", "run_dir": folder.parent / name}
    return RunConfig(**{**defaults, "submission": folder.parent / name / "submission.csv", **recipe, **changes})


def hash_results(config):
    return [hash_file(config.run_dir / name) for name in RESULTS] + [hash_file(config.submission)]


class StopAfterSaving:
    """Lets `save_checkpoint` write, and then stops the run as Ctrl-C would, once every `saves` times."""

    def __init__(self, monkeypatch, saves=1, error=KeyboardInterrupt):
        self.plain, self.saves, self.left, self.error = checkpoint.save_checkpoint, saves, saves, error
        monkeypatch.setattr(checkpoint, "save_checkpoint", self)

    def __call__(self, folder, state):
        self.plain(folder, state)
        self.left -= 1
        if self.left == 0:
            self.left = self.saves
            raise self.error
