"""A process in which no optional package can be imported, as after an installation without extras."""

import os
import subprocess
import sys

OPTIONAL = (  # modules
    *("albumentations", "jax", "matplotlib", "mlflow", "optuna", "PIL", "ray", "starlette", "tensorboard", "uvicorn"),
)


HIDE = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {OPTIONAL}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
def call(name, *arguments):
    try:
        from digit_recognizer.__main__ import import_command
        return import_command(name).main(list(arguments))
    except SystemExit as stop:
        return stop.code or 0
"""


def run_without_extras(script, **variables):
    """Run a script in a process in which no optional package can be imported; with these environment variables."""
    environment = {**os.environ, **variables}
    command = [sys.executable, "-c", HIDE + script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
