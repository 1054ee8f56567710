"""How long, and in how much memory, does train.csv load? Against polars' bare `read_csv` of the same file.

    python benchmarks/csv_loader.py --train input/train.csv

Every load runs in a fresh process, the three kinds in turn, because other work on a machine comes and goes: compare the
medians of one invocation, not the figures of two. Imports are not timed. Ours checks every cell and hashes the file,
polars does neither. Linux only (peak memory comes from /proc).
"""

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KINDS = ("polars", "first", "cached")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="a train.csv")
    parser.add_argument("--rounds", type=int, default=7, help="loads of each kind (default: %(default)s)")
    parser.add_argument("--one", choices=KINDS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure_one_load(args.one, args.train)))
        return
    with tempfile.TemporaryDirectory() as folder:
        train = Path(shutil.copy(args.train, folder))
        run_process("cached", train)  # fills the cache, and the system's page cache
        measured = [{kind: run_process(kind, train) for kind in KINDS} for _ in range(args.rounds)]
    print_table(args.train, measured)


def run_process(kind: str, train: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--train", str(train), "--one", kind]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure_one_load(kind: str, train: Path) -> dict[str, float]:
    if kind == "polars":
        import polars

        def load() -> object:
            return polars.read_csv(train)
    else:
        import pyarrow.csv  # noqa: F401 (imported here, so that its import is not timed)

        from digit_recognizer.data.dataset import load_train

        def load() -> object:
            return load_train(train, cache=kind == "cached")

    before_mib = read_memory_mib("VmRSS")
    start = time.perf_counter()
    table = load()
    seconds = time.perf_counter() - start
    peak_mib = read_memory_mib("VmHWM") - before_mib
    pixels_mib = table.pixels.nbytes / 2**20 if hasattr(table, "pixels") else 0.0
    return {"seconds": seconds, "peak_mib": peak_mib, "pixels_mib": pixels_mib}


def read_memory_mib(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def print_table(train: Path, measured: list[dict[str, dict[str, float]]]) -> None:
    pixels_mib = measured[0]["first"]["pixels_mib"]
    polars_seconds = statistics.median(round_["polars"]["seconds"] for round_ in measured)
    print(f"{train}: {train.stat().st_size / 2**20:.1f} MiB, pixels {pixels_mib:.1f} MiB; {platform.platform()}")
    print(f"{'kind':8}{'median s':>10}{'fastest':>10}{'slowest':>10}{'/ polars':>10}{'peak MiB':>10}{'/ pixels':>10}")
    for kind in KINDS:
        seconds = [round_[kind]["seconds"] for round_ in measured]
        peak_mib = max(round_[kind]["peak_mib"] for round_ in measured)
        figures = (
            f"{statistics.median(seconds):>10.3f}{min(seconds):>10.3f}{max(seconds):>10.3f}"
            f"{statistics.median(seconds) / polars_seconds:>10.2f}{peak_mib:>10.1f}{peak_mib / pixels_mib:>10.2f}"
        )
        print(f"{kind:8}{figures}")


if __name__ == "__main__":
    main()
