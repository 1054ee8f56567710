"""Is a damaged checkpoint ever used? `python benchmarks/checkpoint_flips.py`

Stops a small run of the baseline after its first epoch, and reads its checkpoint again with one byte changed: every
byte of the header by every bit, and bytes of the rest drawn at random. Exit code 1 if a change is not noticed.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from digit_recognizer.backend import import_keras
from digit_recognizer.config import RunConfig
from digit_recognizer.data.sources import download


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=int, default=200_000, help="in the rest of the file")
    arguments = parser.parse_args()
    content = make_state()
    from digit_recognizer.training.checkpoint import unpack_state

    unpack_state(content)
    header_bytes = 8 + int.from_bytes(content[:8], "little")
    rng = np.random.default_rng(0)
    flips = [(place, 1 << bit) for place in range(header_bytes) for bit in range(8)]
    places = rng.integers(header_bytes, len(content), arguments.flips)
    flips += zip(places.tolist(), rng.integers(1, 256, arguments.flips).tolist(), strict=True)
    changed, unnoticed = bytearray(content), 0
    for place, flip in flips:
        changed[place] ^= flip
        try:
            unpack_state(bytes(changed))
            unnoticed += 1
        except ValueError:
            pass
        changed[place] ^= flip
    print(f"{len(content):,} bytes, {header_bytes:,} of them header; {len(flips):,} flips, {unnoticed} unnoticed")
    return int(unnoticed > 0)


def make_state() -> bytes:
    """The checkpoint of a small run after its first epoch."""
    import_keras()
    from digit_recognizer.training.checkpoint import STATE
    from digit_recognizer.training.cross_validation import run_cross_validation
    from digit_recognizer.training.run import Run

    plain = Run.save_checkpoint

    def save_and_stop(self, *positional):
        plain(self, *positional)
        raise KeyboardInterrupt

    Run.save_checkpoint = save_and_stop
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        download("sample", folder / "input")
        config = RunConfig(
            input_dir=folder / "input",
            limit_train=500,
            folds=2,
            epochs=2,
            run_dir=folder / "run",
            submission=folder / "a.csv",
        )
        try:
            run_cross_validation(config)
        except KeyboardInterrupt:
            return (folder / "run" / STATE).read_bytes()
    raise RuntimeError("the run was to be stopped")


if __name__ == "__main__":
    sys.exit(main())
