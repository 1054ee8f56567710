"""A kernel run as on Kaggle: its folders, nothing writable but its own, no network, another environment.

    python3.12 -m venv /tmp/image && /tmp/image/bin/pip install -r benchmarks/kaggle-image.txt
    python benchmarks/kaggle_sandbox.py kernels/champion --python /tmp/image/bin/python --layout new --output out

Linux only: namespaces of users, mounts and networks make the place, as they do a container. Its file system is this
machine's, read-only where Kaggle's input is, and without this package: what is run must come from the kernel.
"""

import argparse
import csv
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMPETITION = "digit-recognizer"
LAYOUTS = {"old": COMPETITION, "new": f"competitions/{COMPETITION}"}
FILES = ("train.csv", "test.csv", "sample_submission.csv")
# $1 is the new root, $2 the project, $3 the input, $4 the output, $5 the code; what follows is the command
PLACE = """
set -e
root=$1 project=$2 input=$3 output=$4 code=$5
shift 5
mount -t tmpfs tmpfs "$root"
for top in /*; do
    case $top in /proc|/kaggle) continue;; esac
    if [ -L "$top" ]; then cp -a "$top" "$root$top"
    elif [ -d "$top" ]; then mkdir "$root$top"; mount --rbind "$top" "$root$top"; fi
done
mkdir -p "$root/proc" "$root/kaggle/input" "$root/kaggle/working" "$root/kaggle/src"
mount --rbind /proc "$root/proc"
mount --bind "$input" "$root/kaggle/input"
mount --bind -o remount,ro,bind "$root/kaggle/input"
mount --bind "$output" "$root/kaggle/working"
mount --bind "$code" "$root/kaggle/src"
mount -t tmpfs tmpfs "$root$project/digit_recognizer"
mount -o remount,ro "$root"
exec chroot "$root" /usr/bin/env -i "$@"
"""
NOTEBOOK = """
import sys
import nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
client = nbclient.NotebookClient(notebook, timeout=None, resources={"metadata": {"path": "/kaggle/working"}})
client.create_kernel_manager().transport = "ipc"  # the place has no network, not even its own
try:
    client.execute()
finally:
    nbformat.write(notebook, "/kaggle/working/__notebook__.ipynb")
"""


def run_on_kaggle(
    kernel: Path, data: Path, output: Path, layout: str, python: str, earlier: Path | None = None, edit=None
) -> subprocess.CompletedProcess:
    """Run a kernel's code file.

    Args:
        kernel: its folder.
        data: a folder with the competition's files.
        output: an empty folder, which becomes /kaggle/working.
        layout: old or new, where Kaggle mounts the competition.
        python: the interpreter.
        earlier: an earlier version's output, attached as a kernel's.
        edit: what is done to the code file's text before, as by hand.
    """
    code = next(path for path in kernel.iterdir() if path.suffix in (".py", ".ipynb"))
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        mount = place / "input" / LAYOUTS[layout]
        mount.mkdir(parents=True)
        for file in FILES:
            shutil.copyfile(data / file, mount / file)
        if earlier:
            slug = "notebooks/me/digit-recognizer" if layout == "new" else "digit-recognizer-earlier"
            shutil.copytree(earlier, place / "input" / slug)
        for folder in ("root", "src", "home"):
            (place / folder).mkdir()
        text = code.read_text(encoding="utf-8")
        (place / "src" / code.name).write_text(edit(text) if edit else text, encoding="utf-8")
        script = ["-c", NOTEBOOK] if code.suffix == ".ipynb" else []
        command = [python, *script, f"/kaggle/src/{code.name}"]
        settings = [f"PATH={Path(python).parent}:/usr/bin:/bin", f"HOME={place}/home", "PYTHONNOUSERSITE=1"]
        project = Path(__file__).resolve().parents[1]
        places = [place / "root", project, place / "input", output.resolve(), place / "src"]
        inside = ["/usr/bin/env", "-C", "/kaggle/working", *settings, *command]
        return subprocess.run(
            [
                "unshare",
                "--user",
                "--map-root-user",
                "--mount",
                "--net",
                "bash",
                "-c",
                PLACE,
                "bash",
                *places,
                *inside,
            ],
            capture_output=True,
            text=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kernel", type=Path, help="a kernel's folder")
    parser.add_argument("--data", type=Path, default=Path("input"), help="a folder with the competition's files")
    parser.add_argument("--python", default=sys.executable, help="the interpreter of an environment like Kaggle's")
    parser.add_argument("--layout", choices=LAYOUTS, default="new", help="where Kaggle mounts the competition")
    parser.add_argument("--settings", default="{}", help="in place of the kernel's SETTINGS")
    parser.add_argument("--epochs", help="in place of a notebook's EPOCHS")
    parser.add_argument("--hours", help="in place of the kernel's HOURS")
    parser.add_argument("--earlier", type=Path, help="an earlier version's output, to attach")
    parser.add_argument("--output", type=Path, required=True, help="a new folder for what it leaves")
    chosen = parser.parse_args()

    def edit(text: str) -> str:
        text = text.replace("SETTINGS = {}", f"SETTINGS = {chosen.settings}")
        text = re.sub(r"EPOCHS = \d+", f"EPOCHS = {chosen.epochs}", text) if chosen.epochs else text
        return text.replace("HOURS = 11.5", f"HOURS = {chosen.hours}") if chosen.hours else text

    chosen.output.mkdir(parents=True)
    started = time.perf_counter()
    found = run_on_kaggle(chosen.kernel, chosen.data, chosen.output, chosen.layout, chosen.python, chosen.earlier, edit)
    seconds = time.perf_counter() - started
    print(found.stdout[-3000:], found.stderr[-3000:], sep="\n")
    size = sum(path.stat().st_size for path in chosen.output.rglob("*") if path.is_file())
    code = sum(path.stat().st_size for path in chosen.kernel.iterdir())
    print(f"exit code {found.returncode}, {seconds:.0f} s; kernel {code:,} bytes, output {size:,} bytes")
    if found.returncode == 0 and (chosen.output / "submission.csv").exists():
        with (chosen.output / "submission.csv").open(newline="") as file:
            rows = list(csv.reader(file))
        valid = rows[0] == ["ImageId", "Label"] and all(
            row == [str(number), row[1]] and row[1] in "0123456789" for number, row in enumerate(rows[1:], 1)
        )
        print(f"submission.csv: {len(rows) - 1:,} rows, {'valid' if valid else 'INVALID'}")
    return found.returncode


if __name__ == "__main__":
    sys.exit(main())
