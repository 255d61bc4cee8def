"""A model that does not come back ends its process, even one that lets no other thread run."""

import subprocess
import sys
import time

import pytest

from actors.watch import time_limit

HANGING = """
import ctypes, time
from actors import watch
watch.GRACE_S = 1.0
with watch.time_limit(1000.0, lambda: print("too early")):  # as for loading
    pass
with watch.time_limit(0.5, lambda: print("said", flush=True)):
    {work}
print("came back")
"""


@pytest.mark.parametrize(
    ("work", "said", "code"),
    [
        ("time.sleep(600)", "said\n", -9),
        ("ctypes.PyDLL(None).sleep(600)", "", 1),  # holds Python's lock all the while
        ("pass", "came back\n", 0),
    ],
    ids=["hangs", "hangs with the lock", "comes back"],
)
def test_a_process_ends_itself(work: str, said: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGING.format(work=work)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.stdout, done.returncode) == (said, code)
    assert ("line 8 in <module>" in done.stderr) == (code != 0)  # where it hung


def test_without_a_limit_nothing_is_watched() -> None:
    with time_limit(None, lambda: pytest.fail("reported")):
        time.sleep(0.01)
