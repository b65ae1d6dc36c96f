"""Commands run in the process of the tests, which takes a hundredth of the time of a new one."""

from __future__ import annotations

import contextlib
import io
import subprocess

import pytest

from LMIDiffusionLib.cli import main


def run_here(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command and return its exit status and what it printed."""
    words = [str(each) for each in arguments]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(words)
    status = ended.value.code or 0
    assert isinstance(status, int)
    return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())
