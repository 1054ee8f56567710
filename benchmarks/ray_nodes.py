"""Ray clusters of nodes of one processor each, all on this machine, which can be killed one by one.

A node is a process session with a loopback address, a Ray daemon and a processor of its own. It dies by SIGKILL to
every process of its session. Whoever imports this has the environment that the nodes and their driver share.
"""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

os.environ |= {
    **{"RAY_USAGE_STATS_ENABLED": "0", "TF_CPP_MIN_LOG_LEVEL": "3"},
    **{"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)},  # its ports are open to the network
    "RAY_worker_niceness": "0",  # its 15 would measure whoever else is at work
}


def start_node(number: int, port: int) -> subprocess.Popen:
    """A node with one processor: the head if it is the first."""
    place = f"--node-ip-address=127.0.0.{number + 1}"
    part = ["--head", f"--port={port}", "--include-dashboard=false"] if number == 0 else [f"--address=127.0.0.1:{port}"]
    ray = Path(sys.executable).with_name("ray")
    command = ["taskset", "-c", str(number), ray, "start", *part, place, "--num-cpus=1", "--block"]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)


def kill_node(node: subprocess.Popen) -> int:
    """SIGKILL to all processes of its session; the number of tasks that they were at."""
    at_work = 0
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            if os.getsid(int(place.name)) == node.pid:
                at_work += (place / "cmdline").read_bytes().startswith(b"ray::work")
                os.kill(int(place.name), signal.SIGKILL)
    node.wait()
    return at_work


@contextlib.contextmanager
def run_cluster(count: int) -> Iterator[tuple[str, list[subprocess.Popen]]]:
    """A cluster of so many nodes; its address, and their processes."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    nodes: list[subprocess.Popen] = []
    try:
        for number in range(count):
            nodes.append(start_node(number, port))
            wait_for_nodes(f"127.0.0.1:{port}", number + 1)
        yield f"127.0.0.1:{port}", nodes
    finally:
        for node in nodes:
            kill_node(node)


def wait_for_nodes(address: str, count: int) -> None:
    script = (
        f"import ray; ray.init(address={address!r}, log_to_driver=False); print(sum(n['Alive'] for n in ray.nodes()))"
    )
    for _ in range(20):
        asked = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        if asked.stdout.strip() == str(count):
            return
        time.sleep(1)
    sys.exit(f"the cluster does not come up: {asked.stderr}")
