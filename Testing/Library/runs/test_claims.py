"""Properties of claims: one holder at a time, taken over from the dead alone."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from LMIDiffusionLib.runs.claims import FOLDER, Claims

pytestmark = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")


def in_fork(work: object) -> int:
    """Run `work` in a fork that is killed after it, and return the status it would have ended with."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            status = int(bool(work()))  # type: ignore[operator]
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def test_one_of_two_has_a_claim_until_it_gives_it_back(tmp_path: Path) -> None:
    one, other = Claims(tmp_path), Claims(tmp_path)
    claim, dead = one.take("scan") or pytest.fail("it is free")
    assert dead == ()
    assert other.take("scan") is None and other.is_taken("scan")
    assert other.take("another scan") is not None
    one.give_back(claim)
    assert not other.is_taken("scan") and other.take("scan") is not None


def test_a_claim_of_a_dead_process_is_taken_over_with_its_token(tmp_path: Path) -> None:
    assert in_fork(lambda: Claims(tmp_path).take("scan")) == 1
    claims = Claims(tmp_path)
    assert not claims.is_taken("scan")
    assert claims.abandoned(["scan", "another scan"]) == {"scan"}
    claim, dead = claims.take("scan") or pytest.fail("its holder is dead")
    assert len(dead) == 1 and dead[0] != claim.token
    assert claims.abandoned(["scan"]) == set()
    claims.give_back(claim)
    assert not (tmp_path / FOLDER).exists()


def test_a_claim_of_another_machine_lasts_while_it_gives_signs_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("LMIDiffusionLib.runs.claims._host", lambda: "elsewhere")
    Claims(tmp_path).take("scan")
    monkeypatch.undo()
    claims = Claims(tmp_path)
    assert claims.is_taken("scan")
    (file,) = (tmp_path / FOLDER).iterdir()
    os.utime(file, (time.time() - 3600,) * 2)
    assert not claims.is_taken("scan")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"key": 1}'])
def test_a_damaged_claim_lasts_for_a_minute(tmp_path: Path, content: str) -> None:
    claims = Claims(tmp_path)
    claim, _ = claims.take("scan") or pytest.fail("it is free")
    path = tmp_path / FOLDER / claim.file_name
    path.write_text(content)
    assert claims.is_taken("scan")
    os.utime(path, (time.time() - 100,) * 2)
    assert claims.take("scan") is not None


def test_each_name_has_one_holder_among_many_processes_that_start_at_once(tmp_path: Path) -> None:
    names = [f"scan {number}" for number in range(40)]
    go = time.monotonic() + 0.2

    def work() -> None:
        while time.monotonic() < go:
            pass
        claims = Claims(tmp_path)
        for name in names:
            if (taken := claims.take(name)) is not None:
                with (tmp_path / "log").open("a") as log:
                    log.write(f"{name}\n")
                (tmp_path / f"{name} is done").touch(exist_ok=False)
                assert taken

    processes = []
    for _ in range(8):
        if (process := os.fork()) == 0:
            try:
                work()
                signal.pause()  # with its claims
            finally:
                os._exit(1)
        processes.append(process)
    deadline = time.monotonic() + 30
    while len([*tmp_path.glob("* is done")]) < len(names) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    for process in processes:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    assert sorted((tmp_path / "log").read_text().splitlines()) == sorted(names)
