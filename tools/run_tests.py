"""Run tests and count them: each path in a process of its own, two at a time.

The last line tells how many passed and which were left out for want of what. A test is left out by skipping it with a
reason that begins with "needs "; in CI that counts as a failure, but for what CI need not have.
"""

from __future__ import annotations

import argparse
import ast
import io
import os
import re
import subprocess
import sys
import tempfile
import threading
import xml.etree.ElementTree as ElementTree
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import missing

ROOT = missing.ROOT
PROCESSES = 2
OPTIONAL_IN_CI = ("Chromium", "the real scans")
_PROGRESS = re.compile(r"\[ *\d+%\]$")
_printing = threading.Lock()


@dataclass
class Outcome:
    """Outcome of the tests of one or more paths.

    Attributes:
        passed: number of tests.
        failed: number of tests, those that could not be set up among them.
        left_out: number of tests by what they need.
        elsewhere: number of tests that are for other systems.
    """

    passed: int = 0
    failed: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    elsewhere: int = 0

    def add(self, other: Outcome) -> None:
        """Count another's tests too."""
        self.passed += other.passed
        self.failed += other.failed
        self.left_out += other.left_out
        self.elsewhere += other.elsewhere

    def summary(self) -> str:
        """One line: passed, failed, left out."""
        parts = [f"{self.passed:,} passed" + (f", {self.failed:,} failed" if self.failed else "")]
        if self.left_out:
            parts.append("left out: " + ", ".join(f"{count} {need}" for need, count in sorted(self.left_out.items())))
        if self.elsewhere:
            parts.append(f"{self.elsewhere} for other systems")
        return "; ".join(parts)


def all_paths() -> list[Path]:
    """The library, and each file of the host and of the module: Slicer's scene and Qt's classes are one a process."""
    files = [path for name in ("Host", "Module") for path in sorted((ROOT / "Testing" / name).rglob("test_*.py"))]
    return [ROOT / "Testing" / "Library", *files]


def run(path: Path) -> Outcome:
    """Run the tests of one path, or count them where Slicer's libraries cannot be loaded."""
    name = path.relative_to(ROOT)
    if name.parts[1] in ("Host", "Module") and (need := missing.of_slicer()):
        count = _count_tests(path)
        _print(f"{name}: {count} left out, which need {need}")
        return Outcome(left_out=Counter({f"of the module ({need})": count}))
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        status = _run_pytest(path, report)
        outcome = _read(report, "the library" if name.parts[1] == "Library" else "the module")
    if (status or outcome == Outcome()) and not outcome.failed:  # the process died, be it with status 0
        outcome.failed = 1
    return outcome


def _count_tests(path: Path) -> int:
    """Count test functions in a file, which need not be loaded for it."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return sum(isinstance(node, ast.FunctionDef) and node.name.startswith("test") for node in nodes)


def _run_pytest(path: Path, report: Path) -> int:
    """Print progress at once and the rest, which tells of failures, when all is done; return the exit status."""
    command = [sys.executable, "-m", "pytest", "--quiet", f"--junitxml={report}", str(path.relative_to(ROOT))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    lines = []
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, cwd=ROOT, env=environment, **pipes) as process:
        assert process.stdout is not None
        for line in io.TextIOWrapper(process.stdout, encoding="utf-8", errors="replace"):
            if _PROGRESS.search(line.rstrip()):
                _print(line.rstrip())
            else:
                lines.append(line)
    _print(f"{path.relative_to(ROOT)}\n{''.join(lines)}".rstrip())
    return process.returncode


def _print(text: str) -> None:
    with _printing:
        print(text, flush=True)


def _read(report: Path, subject: str) -> Outcome:
    """Count what pytest reports; nothing where it died before."""
    outcome = Outcome()
    if not report.exists():
        return outcome
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            outcome.failed += 1
        elif (skipped := case.find("skipped")) is None:
            outcome.passed += 1
        elif (reason := skipped.get("message", "")).startswith("needs "):
            outcome.left_out[f"of {subject} ({reason.removeprefix('needs ')})"] += 1
        else:
            outcome.elsewhere += 1
    return outcome


def verdict(outcome: Outcome, *, in_ci: bool) -> str:
    """Return why a run has failed, in one sentence; empty where it has not."""
    if outcome.failed:
        return f"{outcome.failed} tests failed."
    lacking = [need for need in outcome.left_out if not any(f"({name}" in need for name in OPTIONAL_IN_CI)]
    if in_ci and lacking:
        return f"In CI (CI=true) no test may be left out: {', '.join(lacking)}."
    return ""


def main() -> None:
    """Run the tests that the command line names, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "paths", type=Path, nargs="*", default=all_paths(), help="files or folders; all if none is given"
    )
    paths = [path.resolve() for path in parser.parse_args().paths]
    total = Outcome()
    with ThreadPoolExecutor(PROCESSES) as pool:
        for outcome in pool.map(run, paths):
            total.add(outcome)
    problem = verdict(total, in_ci=os.environ.get("CI") == "true")
    if problem:
        print(problem)
    skipped = total.left_out.total() + total.elsewhere
    print(f"{total.passed} passed, {total.failed} failed, {skipped} skipped")
    print(total.summary(), flush=True)
    sys.exit(1 if problem else 0)


if __name__ == "__main__":
    main()
