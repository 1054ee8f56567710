"""The one door for chance: every seed of a run derives from `RunConfig.seed` here."""

import numpy as np

PURPOSES = ("folds", "fit", "watch", "views", "copies", "generate")


def derive_seed(seed: int, purpose: str, fold: int = 0) -> int:
    """A seed for one purpose in one fold, independent of those for all others.

    Args:
        seed: of the run.
        purpose: one of PURPOSES.
        fold: 0 and up.

    Returns:
        0 to 2**32 - 1.
    """
    return int(np.random.SeedSequence([seed, PURPOSES.index(purpose), fold]).generate_state(1)[0])
