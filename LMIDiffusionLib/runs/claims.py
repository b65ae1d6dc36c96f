"""Claims: files that say which process works on what, so that calls at once do no work twice.

A claim is a file in a folder that all calls share. Whoever creates it has it; its holder removes it, or dies, after
which the next call may take it over. That is a guard and no scheduler: nobody waits for a share of the work.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = ".claims"
"""Name of the folder of claims in a folder of results."""

_BEAT, _SILENCE = 30.0, 600.0
"""Seconds between signs of life, and without one after which a process on another machine counts as dead."""
_YOUNG = 60.0  # seconds in which a claim may be empty, between its creation and its content
_PAUSE = 0.05
_PATIENCE = 600.0


@dataclass(frozen=True)
class Claim:
    """A claim on a name.

    Attributes:
        key: of the name.
        generation: number of claims on it that were not given back, plus one.
        host: machine, and its name space of processes.
        process: number of the process there.
        started: when the process was started, as its machine counts.
        token: of the temporary files that the holder writes.
    """

    key: str
    generation: int
    host: str
    process: int
    started: str
    token: str

    @property
    def file_name(self) -> str:
        """Name of the claim's file."""
        return f"{self.key}-{self.generation:06d}.json"


class Claims:
    """The claims in a folder."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the one of the results; nothing is written to it yet."""
        self._folder = folder / FOLDER
        self._held: dict[str, Claim] = {}
        self._lock = threading.Lock()

    def take(self, name: str) -> tuple[Claim, tuple[str, ...]] | None:
        """Claim a name.

        Returns:
            The claim, and the tokens of dead holders, whose temporary files may be left; None if another process is at
            work on it.
        """
        key = _key(name)
        earlier = self._claims_on(key)
        if any(_is_alive(each, self._age(each)) for each in earlier):
            return None
        generation = 1 + max((each.generation for each in earlier), default=0)
        claim = Claim(key, generation, _host(), os.getpid(), _start_of(os.getpid()), secrets.token_hex(4))
        if not self._create(claim):
            return None
        with self._lock:
            self._held[key] = claim
            if len(self._held) == 1:
                threading.Thread(target=self._beat, daemon=True).start()
        return claim, tuple(each.token for each in earlier)

    def give_back(self, claim: Claim) -> None:
        """Remove a claim, and those of dead holders before it."""
        with self._lock:
            self._held.pop(claim.key, None)
        for each in self._claims_on(claim.key):
            if each.generation <= claim.generation:
                self._path(each).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # others have claims
            self._folder.rmdir()

    def give_all_back(self) -> None:
        """Remove all claims of this process."""
        with self._lock:
            held = [*self._held.values()]
        for each in held:
            self.give_back(each)

    @contextlib.contextmanager
    def held(self, name: str) -> Iterator[tuple[Claim, tuple[str, ...]]]:
        """Wait for a name that nobody keeps for long, and give it back at the end.

        Raises:
            TimeoutError: it is not given back.
        """
        deadline = time.monotonic() + _PATIENCE
        while (taken := self.take(name)) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"Another process does not give back its claim on {name}.")
            time.sleep(_PAUSE)
        try:
            yield taken
        finally:
            self.give_back(taken[0])

    def is_taken(self, name: str) -> bool:
        """True while a process is at work on a name."""
        return any(_is_alive(each, self._age(each)) for each in self._claims_on(_key(name)))

    def abandoned(self, names: list[str]) -> set[str]:
        """Return those of the names whose last holder died."""
        claims: dict[str, list[Claim]] = {}
        for each in self._all():
            claims.setdefault(each.key, []).append(each)
        if not claims:
            return set()
        found = {key for key, own in claims.items() if not any(_is_alive(each, self._age(each)) for each in own)}
        return {name for name in names if _key(name) in found}

    def _beat(self) -> None:
        while True:
            time.sleep(_BEAT)
            with self._lock:
                held = [*self._held.values()]
            if not held:
                return
            for each in held:
                with contextlib.suppress(OSError):
                    os.utime(self._path(each))

    def _path(self, claim: Claim) -> Path:
        return self._folder / claim.file_name

    def _create(self, claim: Claim) -> bool:
        """Create the file of a claim; False if another process was faster."""
        while True:
            try:
                self._folder.mkdir(exist_ok=True)
                with self._path(claim).open("x", encoding="utf-8") as file:
                    json.dump(asdict(claim), file)
                return True
            except FileExistsError:
                return False
            except FileNotFoundError:  # another process has just removed the folder
                time.sleep(_PAUSE)

    def _age(self, claim: Claim) -> float:
        try:
            return time.time() - self._path(claim).stat().st_mtime
        except OSError:
            return 0.0

    def _claims_on(self, key: str) -> list[Claim]:
        return [each for each in self._all() if each.key == key]

    def _all(self) -> Iterator[Claim]:
        """Read all claims; one that is empty yet, or damaged, has no process."""
        try:
            names = os.listdir(self._folder)
        except OSError:
            return
        for name in names:
            key, _, number = name.removesuffix(".json").partition("-")
            if not number.isdigit():
                continue
            try:
                fields = json.loads((self._folder / name).read_text(encoding="utf-8"))
                yield Claim(**fields)
            except FileNotFoundError:
                continue
            except (OSError, ValueError, TypeError):
                yield Claim(key, int(number), "", 0, "", "")


def _key(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:32]


def _host() -> str:
    """Return the machine and its process name space: containers number their processes separately."""
    try:
        return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _start_of(process: int) -> str:
    """Return the start time of a process, as its number may be used again; empty if it is unknown."""
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="latin-1")
    except OSError:
        return ""
    fields = status.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]


def _is_alive(claim: Claim, age: float) -> bool:
    """True if the holder of a claim, whose last sign of life has some age in seconds, still works."""
    if claim.process == 0:
        return age < _YOUNG
    if claim.host != _host() or os.name == "nt":  # whose os.kill sends a signal in any case
        return age < _SILENCE
    if claim.started:
        return _start_of(claim.process) == claim.started
    try:
        os.kill(claim.process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
