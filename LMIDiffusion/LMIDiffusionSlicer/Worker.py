"""`python Worker.py JOBS.json`: the library's command for one list of arguments after the other, in one process.

Runs in Slicer's Python beside Slicer. PyTorch is loaded once for all, and a job that fails does not end the others.
Events of the library go to standard output as they come, and a `job` event before those of each job.
"""

import json
import signal
import sys
import traceback
from pathlib import Path

_TERMINATED = 128 + signal.SIGTERM


def main(path: Path) -> int:
    codes = [0]
    for number, arguments in enumerate(json.loads(path.read_text(encoding="utf-8"))):
        print(json.dumps({"event": "job", "number": number}), flush=True)
        codes.append(_run(arguments))
        if codes[-1] == _TERMINATED:
            break
    return max(codes)


def _run(arguments: list[str]) -> int:
    from LMIDiffusionLib.cli import main as runCommand

    try:
        runCommand(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except Exception:  # the command has reported it; the other jobs go on
        traceback.print_exc()
        return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
