"""`python -m digit_recognizer.app`: draw a digit, see it read; look at runs, and compare them."""

import sys
import threading
import webbrowser
from dataclasses import dataclass
from pathlib import Path

from digit_recognizer.cli import command, parse_arguments
from digit_recognizer.console import print_line
from digit_recognizer.errors import InputError, require
from digit_recognizer.io import check_writable_folder

HIGHEST_PORT = 65_535


@dataclass(frozen=True, kw_only=True)
class AppArguments:
    """Open the app in the browser: draw digits, read photographs, look at runs and compare them."""

    runs: Path = Path("runs")
    """Folder whose folders are runs."""
    collect: Path | None = None
    """Keep drawings that the visitor labels, in this folder, one folder per class. Without it, nothing is kept."""
    host: str = "127.0.0.1"
    """Address to listen on. 0.0.0.0 lets everybody in your network in."""
    port: int = 8000
    """Port to listen on."""
    no_browser: bool = False
    """Do not open the browser."""

    def __post_init__(self) -> None:
        if not 1 <= self.port <= HIGHEST_PORT:
            raise InputError("config.out_of_range", column="--port", lowest=1, highest=HIGHEST_PORT, received=self.port)


@command
def main(arguments: list[str]) -> None:
    """Serve the app until it is interrupted."""
    chosen = parse_arguments(AppArguments, "app", arguments)
    require("starlette", "app")
    require("uvicorn", "app")
    require("PIL.Image", "app")
    if chosen.collect is not None:
        check_writable_folder(chosen.collect)

    if not chosen.runs.is_dir() and (chosen.runs.exists() or chosen.runs != AppArguments.runs):
        raise InputError("io.not_folder" if chosen.runs.exists() else "io.missing", path=chosen.runs, column="--runs")

    from digit_recognizer.app.server import LOOPBACK, build_app, build_server, find_own_address, open_socket

    listening = open_socket(chosen.host, chosen.port)  # before Keras: a port that is taken is found at once
    app = build_app(chosen.runs, chosen.collect, chosen.host)
    named = f"[{chosen.host}]" if ":" in chosen.host else chosen.host
    address = f"http://{'localhost' if chosen.host in (*LOOPBACK, '0.0.0.0', '::') else named}:{chosen.port}"
    print_line(f"The app is at {address}. Ctrl-C ends it.")
    if chosen.host not in LOOPBACK:
        if chosen.host == "0.0.0.0":
            name = find_own_address() or "<this machine's address>"
            print_line(f"In your network it is at http://{name}:{chosen.port}, if the firewall lets others in.")
        print_line("Everybody who can reach this address can use it and see the runs.")
    if chosen.collect is not None:
        print_line(f"Drawings that a visitor labels are kept in {chosen.collect.absolute()}.")
    if not chosen.no_browser:
        threading.Timer(0.5, webbrowser.open, [address]).start()
    build_server(app).run([listening])


if __name__ == "__main__":
    sys.exit(main())
