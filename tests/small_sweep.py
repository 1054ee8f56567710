"""A sweep of two runs that take a second each, on data that can be changed under it."""

import numpy as np
from conftest import write_table, write_tiny_data

from digit_recognizer.sweeps.sweeping import SweepConfig

STUDY = """
title = "Small"
seeds = 2
input_dir = "tiny"
[fixed]
model = "dense"
epochs = 3
batch_size = 30
optimizer = "adam"
learning_rate = 0.1
folds = 2
split_seed = 0
precision = "float32"
[[grid]]
model_args.units = [4]
"""


def prepare_sweep(folder):
    """The study and its data in `folder`; nothing is run."""
    write_tiny_data(folder / "tiny")
    (folder / "small.toml").write_text(STUDY)
    return SweepConfig(folder / "small.toml", folder / "sweep")


def change_data(folder, rows=60):
    """Other images under the same labels."""
    pixels = np.random.default_rng(2).integers(0, 250, (60, 784))
    write_table(folder / "train.csv", pixels[:rows], (np.arange(60) % 10)[:rows])
