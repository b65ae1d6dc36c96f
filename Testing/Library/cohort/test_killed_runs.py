"""Cohorts whose processes are killed: whatever the moment, the next call goes on, and the end is the same."""

from __future__ import annotations

import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cohort_calls import Call, content, finish, start

from LMIDiffusionLib.images.volume import Volume, write_volume

pytestmark = pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="without fork")

SCANS, KILLS = 24, 10


@pytest.fixture(scope="module")
def folder(thin_scan: Volume, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small scans, one of which cannot be read."""
    folder = tmp_path_factory.mktemp("scans")
    for number in range(SCANS):
        write_volume(folder / f"{number}.nii.gz", thin_scan.with_array(np.roll(thin_scan.array, number, 0)))
    (folder / "damaged.nii.gz").write_bytes(b"no scan")
    return folder


@pytest.fixture(scope="module")
def undisturbed(
    folder: Path, cohort_options: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """Translate the scans by one process, and return the results."""
    output = tmp_path_factory.mktemp("undisturbed")
    assert finish(["translate-cohort", str(folder), str(output), *cohort_options], 1) == [1]
    result = content(output)
    assert len([name for name in result if name.endswith(".json")]) == 2 * SCANS
    return result


def wait_for(started: list[Call], output: Path, *, more: int) -> None:
    """Until so many more scans are done, or there is no more to do: then there is something to lose."""
    goal = len([*output.glob("*_T1w.json")]) + more
    while started[0].is_alive() and (len([*output.glob("*_T1w.json")]) < goal or not output.exists()):
        time.sleep(0.005)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_cohort_killed_at_ten_moments_gives_the_files_of_an_undisturbed_run(
    folder: Path,
    cohort_options: tuple[str, ...],
    undisturbed: dict[str, bytes],
    tmp_path: Path,
    processes: int,
) -> None:
    output = tmp_path / "out"
    words = ["translate-cohort", str(folder), str(output), *cohort_options]
    moments = random.Random(processes)
    kills = 0
    for _ in range(KILLS):
        started = start(words, processes)
        wait_for(started, output, more=moments.randrange(2))
        time.sleep(moments.uniform(0, 0.1))
        for each in started:
            each.kill()
        statuses = [each.status() for each in started]
        kills += statuses[0] == -signal.SIGKILL
    assert kills >= KILLS / 2, "there was nothing left to kill"
    assert finish(words, processes)[0] == 1
    assert content(output) == undisturbed


def test_three_calls_at_once_that_are_killed_and_four_that_start_together_do_every_scan_once(
    folder: Path, cohort_options: tuple[str, ...], undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    words = ["translate-cohort", str(folder), str(output), *cohort_options]
    moments = random.Random(3)
    calls = [start(words, 1)[0] for _ in range(3)]
    for _ in range(KILLS):
        time.sleep(moments.uniform(0.1, 0.6))
        victim = moments.randrange(3)
        calls[victim].kill()
        calls[victim].status()
        calls[victim] = start(words, 1)[0]
    assert {each.status() for each in calls} == {1}, "one scan is damaged"
    before = {path: path.stat().st_mtime_ns for path in output.glob("*_T1w.json")}
    together = [start(words, 1)[0] for _ in range(4)]
    assert {each.status() for each in together} == {1}
    assert {path: path.stat().st_mtime_ns for path in output.glob("*_T1w.json")} == before, "nothing is done twice"
    assert content(output) == undisturbed


def test_the_claim_of_a_call_that_died_right_after_its_work_is_removed(
    folder: Path, cohort_options: tuple[str, ...], undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    words = ["translate-cohort", str(folder), str(output), *cohort_options]
    assert finish(words, 1) == [1]
    done = next(output.glob("*_T1w.json")).name.partition("_")[0]
    code = (
        f"from pathlib import Path; from LMIDiffusionLib.runs.claims import Claims; Claims(Path({str(output)!r})).take"
    )
    subprocess.run([sys.executable, "-c", f"{code}({done!r})"], check=True)
    assert [*(output / ".claims").iterdir()]
    assert finish(words, 1) == [1]
    assert content(output) == undisturbed


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_cohort_says_what_is_left_and_leaves_no_claim(
    folder: Path, cohort_options: tuple[str, ...], tmp_path: Path, number: signal.Signals, status: int
) -> None:
    output = tmp_path / "out"
    command = [sys.executable, "-m", "LMIDiffusionLib", "translate-cohort", str(folder), str(output), *cohort_options]
    process = subprocess.Popen([*command, "--devices", "1"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with process.stderr:
        while "1 of 25: " not in process.stderr.readline():
            assert process.poll() is None
        assert "This run is not finished: 25 scans are left." in (output / "qc.html").read_text()
        process.send_signal(number)
        last = process.stderr.read().splitlines()[-1]
        assert process.wait() == status
    done = len([*output.glob("*_T1w.json")])
    told = re.fullmatch(
        r"lmidiffusion: Interrupted: (\d+) scans? finished, (?:1 failed, )?(\d+) left\."
        r" Run the same command to continue\.",
        last,
    )
    assert told and int(told[1]) == done
    assert not (output / ".claims").exists() and not [*output.rglob(".*-*")]
    assert f"This run is not finished: {told[2]} scans are left." in (output / "qc.html").read_text()
    assert len({line.partition(",")[0] for line in (output / "volumes.csv").read_text().splitlines()[1:]}) == done


_DEADLY = """
import os, signal, sys

def die(event, arguments):
    if event == "open" and str(arguments[0]).endswith("deadly.nii.gz"):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(die)
"""


def test_a_scan_that_kills_its_process_is_tried_again_last_and_named(
    folder: Path, cohort_options: tuple[str, ...], tmp_path: Path
) -> None:
    scans, output = tmp_path / "scans", tmp_path / "out"
    (tmp_path / "sitecustomize.py").write_text(_DEADLY)  # as a scan that takes all memory
    scans.mkdir()
    for name, source in (("deadly", "0"), ("later", "1")):
        shutil.copy(folder / f"{source}.nii.gz", scans / f"{name}.nii.gz")
    program = tmp_path / "program.py"  # one that does not ask for its name, which no new process may run again
    program.write_text("import sys; from LMIDiffusionLib.cli import main; main(sys.argv[1:])")
    command = [sys.executable, str(program), "translate-cohort", str(scans), str(output), *cohort_options]
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    statuses = [subprocess.run([*command, "--devices", "1"], env=environment).returncode for _ in range(2)]
    assert statuses == [-signal.SIGKILL, 1]
    failures = (output / "failures.csv").read_text()
    assert "deadly.nii.gz" in failures and "was killed (SIGKILL)" in failures and "later" not in failures
    assert [path.name for path in output.glob("*_T1w.nii.gz")] == ["later_desc-translated_T1w.nii.gz"]
