"""What saving checkpoints costs: `python benchmarks/checkpoint_cost.py --input-dir input`.

Trains the baseline on 80 % of the rows for some epochs, as `train` does, and times in every epoch what the run does so
that it can be resumed: taking the state out of the model, packing, hashing and writing it, and writing the log.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from digit_recognizer.backend import import_keras
from digit_recognizer.config import RunConfig


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input-dir", type=Path, default=Path("input"))
    parser.add_argument("--model", default="baseline")
    parser.add_argument("--epochs", type=int, default=12)
    arguments = parser.parse_args()
    import_keras()
    from digit_recognizer.training import checkpoint, trainer
    from digit_recognizer.training import run as runs
    from digit_recognizer.training.cross_validation import run_cross_validation

    spent = {"capture": [], "write": [], "log": []}

    def time_calls(owner, name, kind):
        plain = getattr(owner, name)

        def timed(*positional, **named):
            started = time.perf_counter()
            result = plain(*positional, **named)
            spent[kind].append(time.perf_counter() - started)
            return result

        setattr(owner, name, timed)

    time_calls(trainer, "capture_state", "capture")
    time_calls(runs.Run, "save_checkpoint", "write")
    time_calls(runs, "write_text", "log")
    with tempfile.TemporaryDirectory() as name:
        config = RunConfig(
            model=arguments.model,
            input_dir=arguments.input_dir,
            epochs=arguments.epochs,
            run_dir=Path(name) / "run",
            submission=Path(name) / "submission.csv",
        )
        plain_pack, sizes = checkpoint.pack_state, []

        def pack(content):
            packed = plain_pack(content)
            sizes.append(len(packed))
            return packed

        checkpoint.pack_state = pack
        run_cross_validation(config, single_split=True)
        history = (Path(name) / "run" / "history.csv").read_text().splitlines()
    column = history[0].split(",").index("seconds")
    epochs = [float(line.split(",")[column]) for line in history[1:]]
    # one checkpoint after each epoch; the ones after them, of the finished model, are of no epoch
    checkpoints = [captured + written for captured, written in zip(spent["capture"], spent["write"], strict=False)]
    # the first epoch compiles the model: a share of it would be too low
    shares = [saving / epoch for saving, epoch in zip(checkpoints[1:], epochs[1:], strict=True)]
    print(f"\nepoch: {statistics.median(epochs[1:]):.2f} s, median; checkpoint: {max(sizes):,} bytes at most")
    print(f"saving a checkpoint: {1000 * statistics.median(checkpoints):.0f} ms median")
    print(f"writing the log: {1000 * statistics.median(spent['log']):.0f} ms median, once in 4 s at most")
    print(f"checkpoint as a share of its epoch: {statistics.median(shares):.2%} median, {max(shares):.2%} at most")
    return 0


if __name__ == "__main__":
    sys.exit(main())
