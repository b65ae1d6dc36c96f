"""Properties of a command's process, in processes that import next to nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

_POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows has no such streams and signals")

_IMPORTS = """
import os, sys, time, warnings
from pathlib import Path
from LMIDiffusionLib.commands.process_setup import prepare_process
from LMIDiffusionLib.errors import ScanWarning
from LMIDiffusionLib.images.files import atomic_path
"""


def _program(body: str) -> list[str]:
    return [sys.executable, "-c", f"{_IMPORTS}prepare_process()\n{body}"]


@_POSIX
@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_cost_no_result_and_nothing_gets_into_it(tmp_path: Path, closed: str) -> None:
    result = tmp_path / "result"
    body = f"file = open({str(result)!r}, 'w')\nprint('out')\nprint('err', file=sys.stderr)\nos.write(2, b'raw')\n"
    code = _program(body + "file.write('all of it')\n")[2]
    shell = ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, code]
    assert subprocess.run(shell, check=False).returncode == 0
    assert result.read_text() == "all of it"


def test_a_terminal_without_a_sign_shows_another() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(_program("print('20.1 \\u00b10.3')"), capture_output=True, check=False, env=environment)
    assert (done.returncode, done.stdout.split()) == (0, [b"20.1", b"?0.3"])


@pytest.mark.skipif(sys.platform != "linux", reason="other OpenMPs do not tell")
@pytest.mark.parametrize(("chosen", "policy"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "active"}, "ACTIVE")])
def test_threads_wait_passively_unless_the_user_chose_otherwise(chosen: dict[str, str], policy: str) -> None:
    inherited = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment = {**inherited, **chosen, "OMP_DISPLAY_ENV": "true"}
    command = [sys.executable, "-m", "LMIDiffusionLib", "info", "t1w-ixi-2mm"]
    done = subprocess.run(command, capture_output=True, check=True, text=True, env=environment)
    assert f"OMP_WAIT_POLICY = '{policy}'" in done.stderr


@_POSIX
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_while_writing_leaves_nothing(tmp_path: Path, number: int, status: int) -> None:
    body = (
        f"with atomic_path(Path({str(tmp_path / 'scan.nii')!r})):\n    print('ready', flush=True)\n    time.sleep(60)"
    )
    process = subprocess.Popen(_program(body), stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        process.stdout.readline()
        assert len(list(tmp_path.iterdir())) == 1
        process.send_signal(number)
        assert process.wait(60) == status
    assert not list(tmp_path.iterdir())


@_POSIX
def test_a_program_that_was_told_to_outlive_its_terminal_does() -> None:
    shell = ["sh", "-c", 'trap "" HUP; exec "$0" -c "$1"', *_program("os.kill(os.getpid(), 1)\nprint('done')")[::2]]
    assert subprocess.run(shell, capture_output=True, text=True, check=False).stdout == "done\n"


def test_only_our_own_warnings_are_shown_in_one_line_each() -> None:
    body = (
        "warnings.warn('theirs')\nwarnings.warn('theirs too', DeprecationWarning)\n"
        "warnings.warn('Ours \\x1b[2J.', ScanWarning)"
        "\nimport logging\nlogging.basicConfig(level=logging.INFO)\nlogging.getLogger('theirs').info('a tip')"
    )
    done = subprocess.run(_program(body), capture_output=True, text=True, check=False)
    assert done.stderr == "lmidiffusion: Ours \\x1b[2J.\n", "escapes are spelled out"
