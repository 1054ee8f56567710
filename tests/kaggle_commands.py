"""Commands in processes of their own, which know of no other service than the test server."""

import os
import subprocess
import sys

from kaggle_server import KEY, TOKEN, USER

SECRETS = (KEY, TOKEN)


def client_environment(server, home):
    """The variables under which Kaggle's client talks to the server, and to nothing else."""
    proxy = f"http://127.0.0.1:{server.server_port}"
    (home / ".kaggle").mkdir(parents=True, exist_ok=True)
    return {
        "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
        "HTTP_PROXY": proxy,
        "http_proxy": proxy,
        "HOME": str(home),
        "KAGGLE_USERNAME": USER,
        "KAGGLE_KEY": KEY,
    }


def start(server, folder, *arguments, **more):
    """Start `python -m digit_recognizer.COMMAND …` in `folder`, or Kaggle's own command where that is kaggle."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("KAGGLE") and "proxy" not in k.lower()}
    environment = {
        **own,
        "PYTHONPATH": os.pathsep.join(sys.path),
        **client_environment(server, folder / "home"),
        **more,
    }
    subcommand = arguments[0]
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "kaggle.cli" if subcommand == "kaggle" else f"digit_recognizer.{subcommand}",
            *arguments[1:],
        ],
        cwd=folder,
        env={name: value for name, value in environment.items() if value},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def finish_well(process):
    code, out, err = finish(process)
    assert code == 0, err
    return out


def assert_no_credentials(folder, *shown):
    """Neither in what was shown nor in any file but those in which they are kept."""
    for text in shown:
        assert not [secret for secret in (*SECRETS, USER) if secret in text]
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).parts[0] not in ("home", "elsewhere", "xdg"):
            content = path.read_bytes()
            assert not [secret for secret in (*SECRETS, USER) if secret.encode() in content], path
