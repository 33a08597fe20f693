"""Faults for the processes of a cluster: Python runs this file at the start of each of them.

`POISON` names a file whose opening kills the process, as a decoder's segmentation fault would.
`SLOW_READS` is the seconds that opening a photo takes, so that there is time to break something.
`NOTE_READS` names a file that gets a byte for every photo that is opened.
`flaky://` is the local disk, of which every tenth call fails.
"""

import os
import sys
import time

import fsspec

fsspec.register_implementation("flaky", "flaky_storage.FlakyFileSystem")

POISON = os.environ.get("POISON")
SLOW_READS = float(os.environ.get("SLOW_READS", "0"))
NOTE_READS = os.environ.get("NOTE_READS")


def _on_open(event: str, arguments: tuple) -> None:
    if event != "open" or not isinstance(arguments[0], str):
        return
    if POISON and arguments[0].endswith(POISON):
        os.abort()
    if SLOW_READS and arguments[0].endswith(".jpg"):
        time.sleep(SLOW_READS)
    if NOTE_READS and arguments[0].endswith(".jpg"):
        with open(NOTE_READS, "ab") as notes:  # noqa: PTH123
            notes.write(b".")


if POISON or SLOW_READS or NOTE_READS:
    sys.addaudithook(_on_open)
