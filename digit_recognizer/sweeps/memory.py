"""How large this process has grown: a long sweep needs a new one now and then.

TensorFlow 2.21 keeps the variables of every net that was fitted for as long as its process lives, some 120 MB of a net
of seven million parameters. No reference of ours holds them: a bare `fit` on plain arrays, its model deleted and the
garbage collected, leaves the same.
"""

import os
import resource
import sys
from pathlib import Path

MOST_GROWTH_BYTES = 3 << 30


def measure_memory() -> int:
    """Bytes of memory that this process holds now or, where the system does not tell, the most that it has held."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
