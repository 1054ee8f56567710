"""How the learning rate changes over a fit.

Each schedule is a function of the gradient step, computed inside the compiled training step, so that it is exact
however many steps are run at a time. `plateau` is constant here: `fit` lowers it by a callback.
"""

import math

import keras
from keras import ops

STEP_DROPS = 5  # document 004 wants the rate lowered step by step: halved five times at equal distances, to 1/32
WARMUP_SHARE = 0.25  # of all steps; short warm-up and long decay suit short fits (Smith and Topin 2018)
WARMUP_START = 0.04  # of the peak; their divisor of 25
FINAL_SHARE = 1e-4  # of the peak, so that the last steps only average out noise


class ScheduledRate(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate by name.

    Args:
        name: "step", "cosine" or "one-cycle".
        peak: highest learning rate.
        total_steps: gradient steps of the whole fit, at least 1.
    """

    def __init__(self, name: str, peak: float, total_steps: int) -> None:
        self.name, self.peak, self.total_steps = name, peak, total_steps

    def __call__(self, step):  # type: ignore[no-untyped-def]  # a tensor of whichever backend
        """The learning rate at a gradient step, both scalar tensors."""
        done = ops.minimum(ops.cast(step, "float32") / float(self.total_steps), 1.0)
        if self.name == "step":
            return self.peak * ops.power(0.5, ops.minimum(ops.floor(done * (STEP_DROPS + 1)), STEP_DROPS))
        if self.name == "cosine":
            return self.peak * _fall(done)
        rise = WARMUP_START + (1 - WARMUP_START) * done / WARMUP_SHARE
        return self.peak * ops.where(done < WARMUP_SHARE, rise, _fall((done - WARMUP_SHARE) / (1 - WARMUP_SHARE)))

    def get_config(self) -> dict[str, object]:
        """The arguments, as Keras saves them."""
        return {"name": self.name, "peak": self.peak, "total_steps": self.total_steps}


def build_schedule(name: str, peak: float, total_steps: int) -> float | ScheduledRate:
    """The learning rate of a fit: a number where it is constant (or lowered by a callback), else a schedule."""
    return peak if name in ("constant", "plateau") else ScheduledRate(name, peak, total_steps)


def _fall(done):  # type: ignore[no-untyped-def]  # likewise
    """Half a cosine from 1 at 0 to FINAL_SHARE at 1."""
    return FINAL_SHARE + (1 - FINAL_SHARE) * 0.5 * (1 + ops.cos(math.pi * done))
