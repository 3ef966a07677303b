"""A wall clock that a test sets under a running daemon, by libfaketime. Only the wall clock jumps, as when somebody sets it."""
import os
from pathlib import Path

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


class FakeClock:
    """Before the start: daemon.env = clock.env. set("-3600"): an hour behind the real one."""

    def __init__(self, folder):
        self._offset = Path(folder) / "offset"
        # A sanitizer must come first; it is told not to insist.
        self.env = {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(self._offset), "FAKETIME_NO_CACHE": "1",
                    "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1",
                    "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
        self.set("+0")

    def set(self, text):
        fresh = self._offset.with_suffix(".new")
        fresh.write_text(text + "\n")
        fresh.rename(self._offset)
