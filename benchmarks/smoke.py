"""How long `cv --smoke` takes for each model, in a process of its own, with Keras' import.

    python benchmarks/smoke.py --input-dir input     # the competition's size: all 28,000 test rows are predicted

A line per model: wall time, and processor time of all cores. Exit code 1 if one takes more than 30 s.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from digit_recognizer.models import list_models

MAX_SECONDS = 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input-dir", type=Path, default=Path("input"))
    parser.add_argument("models", nargs="*", default=list_models(), help="default: all")
    arguments = parser.parse_args()
    slow = []
    print(f"| model | seconds | processor seconds |   ({os.cpu_count()} cores)\n|---|---|---|")
    for name in arguments.models:
        wall, processor = time_smoke_run(name, arguments.input_dir)
        print(f"| `{name}` | {wall:.0f} | {processor:.0f} |", flush=True)
        if wall > MAX_SECONDS:
            slow.append(name)
    print(f"\nslower than {MAX_SECONDS} s: {', '.join(slow) or 'none'}")
    return 1 if slow else 0


def time_smoke_run(name: str, input_dir: Path) -> tuple[float, float]:
    """Wall time of a run, and the processor time that it used."""
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--model", name, "--smoke", "--input-dir", str(input_dir), "--run-dir", f"{folder}/run"]
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, "-m", "digit_recognizer.cv", *flags], check=True, stdout=subprocess.DEVNULL)
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    sys.exit(main())
