"""What becomes of the process when its log cannot be written."""

import subprocess
import sys

STORY = """
import structlog
from toolreeve.runtime import log
log.configure(process="test")
for number in range(1000):
    structlog.get_logger().error("disk.full", number=number)
print("still here")
"""


def test_a_full_log_disk_stops_nobody() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123  a device
        done = subprocess.run(
            [sys.executable, "-c", STORY], stdout=subprocess.PIPE, stderr=full, check=False
        )
    assert done.stdout == b"still here\n"
