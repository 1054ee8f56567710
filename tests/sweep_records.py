"""Studies and records of runs that nobody made, with effects that are known."""

import numpy as np

from digit_recognizer.sweeps.study import Study
from digit_recognizer.sweeps.trials import Trial, TrialRecord

ENVIRONMENT = {"commit": "abc1234", "precision": "float32", "processor": "a processor", "threads": 2}
ROWS = 2000


def make_study(**changes):
    return Study(**{"name": "some-study", "title": "Some study", "fixed": {"model": "narrow"}, "seeds": 3, **changes})


def make_grid(seeds=3, **changes):
    """Dropout by batch size, 6 configurations."""
    grid = {"model_args.dropout": (0.3, 0.5, 0.7), "batch_size": (40, 150)}
    return make_study(seeds=seeds, grids=(grid,), **changes)


def make_record(study, configuration, seed, accuracy, **changes):
    """A finished run with ten classes, whose curve rises to its accuracy within five epochs."""
    right = round(accuracy * ROWS / 10)
    confusion = np.zeros((10, 10), int)
    np.fill_diagonal(confusion, right)
    confusion[np.arange(10), (np.arange(10) + 1) % 10] = ROWS // 10 - right
    values = {
        "name": Trial.of(study, configuration, seed).name,
        "state": "done",
        "untrained": 0.1,
        "accuracy": accuracy,
        "val_curve": tuple(accuracy - 0.1 / 2**epoch for epoch in range(1, 5)) + (accuracy,),
        "train_curve": tuple(accuracy - 0.2 / 2**epoch for epoch in range(1, 6)),
        "confusion": tuple(map(tuple, confusion.tolist())),
        "parameters": 21_840,
        "seconds": 36.0,
        "environment": ENVIRONMENT,
    }
    return TrialRecord(configuration=configuration, seed=seed, **{**values, **changes})


def make_records(study, measure, random_seed=0, noise=0.003):
    """A record for each configuration and seed: `measure(configuration)` plus noise of that standard deviation."""
    random = np.random.default_rng(random_seed)
    return [
        make_record(
            study, configuration, seed, float(np.clip(measure(configuration) + noise * random.standard_normal(), 0, 1))
        )
        for seed in range(study.seeds)
        for configuration in study.configurations
    ]
