"""Translations in one process: as good as in processes of their own, and gone when nobody wants it any more."""

import argparse
import dataclasses
import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from LMIDiffusionLib.commands import translate
from LMIDiffusionLib.errors import UserError
from LMIDiffusionLib.images.volume import Volume, write_volume
from LMIDiffusionLib.interface.events import IDLE_SECONDS, Error, Event, JobEnded, JobStarted, Result, parse
from LMIDiffusionLib.interface.notices import Notice
from LMIDiffusionLib.jobs.job_fields import from_fields
from LMIDiffusionLib.jobs.translation_job import TranslationJob
from LMIDiffusionLib.jobs.worker import Requests, Server
from LMIDiffusionLib.model.checkpoint import Checkpoint, save_checkpoint
from LMIDiffusionLib.model.checkpoint_cache import CheckpointCache

_SERVE = [sys.executable, "-m", "LMIDiffusionLib", "serve"]
_TRANSLATE = """
import json, sys
from LMIDiffusionLib.cli import main
for words in json.loads(sys.argv[1]):
    try:
        main(words)
    except SystemExit as ended:
        assert not ended.code
"""
_ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def folder(tiny_checkpoint: Checkpoint, head: Volume, tmp_path: Path) -> Path:
    """With two scans, one of which has a doubtful voxel, and a checkpoint."""
    save_checkpoint(tiny_checkpoint, tmp_path / "tiny.safetensors")
    write_volume(tmp_path / "scan.nii", head)
    array = head.array.copy()
    array[0, 0, 0] = np.nan
    write_volume(tmp_path / "gap.nii", head.with_array(array))
    return tmp_path


def _job(folder: Path, source: str, output: str, **options: int) -> dict[str, Any]:
    return {
        "source": str(folder / source),
        "output": str(folder / output),
        "model": {"checkpoint": str(folder / "tiny.safetensors"), "device": "cpu"},
        "segmentation": str(folder / f"labels of {output}"),
        "options": {"slices": [9, 11], "steps": 1, "samples": 4, **options},
    }


def _words(job: dict[str, Any]) -> list[str]:
    """The arguments of `translate` for the same job."""
    options = {"slices": "9:11", **{name: value for name, value in job["options"].items() if name != "slices"}}
    named = {**job["model"], "segmentation": job["segmentation"], **options}
    return [
        job["source"],
        job["output"],
        *(str(word) for name, value in named.items() for word in (f"--{name}", value)),
    ]


def _request(number: int, job: Any) -> str:
    return json.dumps({"number": number, "job": job})


def _serve(*lines: str) -> tuple[list[Event], subprocess.CompletedProcess[str]]:
    text = "".join(f"{line}\n" for line in lines)
    done = subprocess.run(_SERVE, input=text, capture_output=True, text=True, check=False, env=_ENVIRONMENT)
    return [event for event in map(parse, done.stdout.splitlines()) if event is not None], done


def test_worker_results_are_byte_identical_to_those_of_translate(folder: Path) -> None:
    jobs: dict[str, tuple[str, dict[str, int]]] = {
        "a.nii": ("scan.nii", {"samples": 2}),
        "b.nii": ("gap.nii", {"seed": 5}),
        "c.nii": ("scan.nii", {}),
    }
    requests = [_job(folder, source, output, **options) for output, (source, options) in jobs.items()]
    requests[2:2] = [_job(folder, "missing.nii", "d.nii")]
    events, done = _serve(*(_request(number, request) for number, request in enumerate(requests)))
    assert [type(event) for event in events if isinstance(event, Result | Error)] == [Result, Result, Error, Result]
    assert done.returncode == 0
    together = {path: path.read_bytes() for output in jobs for path in folder.glob(f"*{output}")}
    assert len(together) == 6
    commands = [["translate", *_words(requests[number]), "--overwrite"] for number in (1, 3)]
    subprocess.run([sys.executable, "-c", _TRANSLATE, json.dumps(commands)], check=True, env=_ENVIRONMENT)
    assert {path: path.read_bytes() for path in together} == together


def test_each_request_is_started_answered_once_and_ended_and_its_notices_are_repeated(folder: Path) -> None:
    gap = [_job(folder, "gap.nii", f"{number}.nii") for number in range(2)]
    bad = {"nonsense": 1}
    lines = [
        _request(3, gap[0]),
        "no request",
        '{"number": "x", "job": {}}',
        _request(4, bad),
        _request(5, gap[1]),
    ]
    events, _ = _serve(*lines)
    told = [event for event in events if isinstance(event, JobStarted | JobEnded | Notice | Result | Error)]
    kinds = [type(event) for event in told]
    done, refused = [JobStarted, Notice, Result, JobEnded], [JobStarted, Error, JobEnded]
    assert kinds == [*done, Error, Error, *refused, *done]
    assert [event.number for event in told if isinstance(event, JobStarted)] == [3, 4, 5]
    assert told[-1] == JobEnded(5, holds_gpu=False)
    assert all("1 NaN" in event.message for event in told if isinstance(event, Notice))


def _is_there(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="asks Linux which processes there are")
@pytest.mark.parametrize("moment", ["idle", "busy"])
def test_a_worker_exits_when_its_parent_is_killed_and_leaves_no_partial_file(folder: Path, moment: str) -> None:
    job = _job(folder, "scan.nii", "out.nii", **({"steps": 2000} if moment == "busy" else {}))
    awaited = "progress" if moment == "busy" else "ended"
    script = f"""
import subprocess, sys, time
serve = subprocess.Popen({_SERVE!r}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
print(serve.pid, flush=True)
print({_request(0, job)!r}, file=serve.stdin, flush=True)
while {awaited!r} not in serve.stdout.readline(): pass
print("now", flush=True)
time.sleep(1000)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=_ENVIRONMENT
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert parent.stdout.readline() == "now\n"
        assert _is_there(child)
        parent.kill()
    deadline = time.monotonic() + 300
    while _is_there(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _is_there(child)
    expected = {"out.nii", "labels of out.nii"} if moment == "idle" else set()
    assert {path.name for path in folder.iterdir()} == {"tiny.safetensors", "scan.nii", "gap.nii", *expected}


class _Requests(Requests):
    """Notes how long the server would wait for each."""

    def __init__(self, count: int) -> None:
        super().__init__(io.BytesIO(f"{_request(0, {'source': 'none', 'output': 'out.nii'})}\n".encode() * count))
        self.patience: list[float] = []

    def next(self, *, seconds: float) -> bytes | None:
        self.patience.append(seconds)
        return super().next(seconds=seconds)


class _Listener:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def report(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        pass


def test_a_worker_waits_ten_minutes_for_each_request(folder: Path) -> None:
    requests = _Requests(2)
    Server(_Listener()).run(requests)
    assert requests.patience == [IDLE_SECONDS] * 3 == [600.0] * 3


def test_a_worker_that_has_used_a_gpu_reports_it_and_waits_only_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("LMIDiffusionLib.jobs.worker.select_device", lambda name: torch.device("cuda"))
    listener, requests = _Listener(), _Requests(1)
    Server(listener).run(requests)
    assert listener.events[-1] == JobEnded(0, holds_gpu=True)
    assert requests.patience[0] == 600.0 and requests.patience[1] < 10.0


def test_waiting_for_a_request_ends_on_timeout_and_at_the_end_of_the_stream() -> None:
    reading, writing = os.pipe()
    requests = Requests(io.FileIO(reading))
    os.write(writing, b"one\ntw")
    assert requests.next(seconds=60) == b"one\n"
    assert requests.next(seconds=0.01) is None
    os.write(writing, b"o\n")
    assert requests.next(seconds=60) == b"two\n"
    os.close(writing)
    assert requests.next(seconds=60) is None


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_an_idle_worker_exits_silently_on_a_signal() -> None:
    with subprocess.Popen(
        _SERVE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_ENVIRONMENT
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"no request\n")
        process.stdin.flush()
        process.stdout.readline()  # it has begun to wait
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=300)
    assert (process.returncode, said) == (143, b"")


def test_a_cached_checkpoint_is_reloaded_when_its_file_changes(folder: Path, tiny_checkpoint: Checkpoint) -> None:
    path, cache = folder / "tiny.safetensors", CheckpointCache()
    first = cache.load(str(path))
    assert cache.load(str(path)) is first
    weights = {name: weight + 1 for name, weight in tiny_checkpoint.weights.items()}
    save_checkpoint(dataclasses.replace(tiny_checkpoint, weights=weights), path)
    second = cache.load(str(path))
    name = next(iter(weights))
    torch.testing.assert_close(second.weights[name].float(), weights[name], atol=0.02, rtol=0)
    torch.testing.assert_close(first.weights[name].float(), tiny_checkpoint.weights[name], atol=0.02, rtol=0)
    assert cache.load(str(path)) is second


def test_a_missing_or_damaged_checkpoint_is_refused_every_time(folder: Path) -> None:
    path, cache = folder / "tiny.safetensors", CheckpointCache()
    cache.load(str(path))
    path.write_bytes(path.read_bytes()[:-100])
    for _ in range(2):
        with pytest.raises(UserError, match="truncated"):
            cache.load(str(path))
    path.unlink()
    with pytest.raises(UserError, match="no checkpoint"):
        cache.load(str(path))


def test_a_job_of_plain_fields_is_the_job_that_the_command_line_fills(tmp_path: Path) -> None:
    words = ["scan", "t1w.nii", "--series", "2", "--segmentation", "s.nii", "--find-brain", "--uncertainty", "u.nii"]
    words += ["--sample", "a_sample.nii"]
    words += ["--quality", "fast", "--samples", "3", "--guidance", "2", "--seed", "4", "--device", "cpu"]
    words += ["--precision", "32", "--overwrite", "--batch-size", "5", "--slices", "1:3", "--clusters", "3"]
    parser = argparse.ArgumentParser()
    translate.add_arguments(parser)
    fields = {
        "source": {"path": "scan", "number": 2},
        "output": "t1w.nii",
        "segmentation": "s.nii",
        "mask": "found",
        "drawn": {"uncertainty": "u.nii", "sample": "a_sample.nii"},
        "clusters": 3,
        "model": {"device": "cpu", "precision": "32"},
        "overwrite": True,
        "options": {"steps": 1, "samples": 3, "guidance": 2, "seed": 4, "batch_size": 5, "slices": [1, 3]},
    }
    assert from_fields(TranslationJob, fields) == translate.job_of(parser.parse_args(words))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"output": None}, "output cannot be None"),
        ({"quality": "fast"}, "no field quality"),
        ({"source": {"path": "scan"}}, "lacks the field number"),
        ({"overwrite": 1}, "overwrite cannot be 1"),
        ({"options": {"samples": True}}, "samples cannot be True"),
        ({"options": {"samples": 0}}, "samples cannot be 0"),
        ({"options": {"slices": [1]}}, r"slices cannot be \[1\]"),
        ({"options": []}, r"options cannot be \[\]"),
        ({"mask": 5}, "mask cannot be 5"),
    ],
)
def test_a_field_of_the_wrong_name_or_type_is_refused_in_a_sentence(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=reason) as refusal:
        from_fields(TranslationJob, {"source": "scan.nii", "output": "t1w.nii", **change})
    assert str(refusal.value).endswith(".")


@pytest.mark.parametrize("fields", [None, [], "scan.nii", {}, {"source": "scan.nii"}])
def test_a_job_without_its_files_is_refused(fields: Any) -> None:
    with pytest.raises(UserError, match=r"^The job cannot be run: "):
        from_fields(TranslationJob, fields)


_MALFORMED = [
    *(b"", b" ", b"{", b"}", b"[]", b"null", b"true", b"1", b'"scan.nii"', b"{}", b'{"number": 1}', b'{"job": {}}'),
    *(b'{"number": "1", "job": {}}', b'{"number": 1.5, "job": {}}', b'{"number": null, "job": {}}', b"\xff\xfe\x00"),
    *(b'{"number": true, "job": {}}', b'{"number": 1, "job": null}', b'{"number": 1, "job": []}', b"NaN", b"1e999"),
    *(
        b'{"number": 1, "job": {"source": 1, "output": 2}}',
        b'{"number": 1, "job": {"source": "\\ud800", "output": "t.nii"}}',
        b'{"number": 1, "job": {"source": "a", "output": "b", "c": 1}}',
    ),
    *(b'{"number": 1, "job": {"source": "\\u0000", "output": "t.nii"}}', b"[" * 100_000, b'{"a":' * 100_000),
    *(b"x" * 2_000_000, b'{"number": 1, "job": {"source": "' + b"y" * 100_000 + b'", "output": "t.nii"}}', b"\x00\x00"),
    b'{"number": 1, "job": {"source": "/dev/stdin", "output": "/proc/x.nii"}}',
]


def _hostile_files(folder: Path) -> list[Path]:
    """Files that killed, stopped or filled earlier versions."""
    line = "NDims = {}\nDimSize = 2 2 2\nOffset = 0 0 0\nElementType = MET_UCHAR\nElementDataFile = {}\n"
    texts = {
        **{f"ndims{count}.mha": line.format(count, "LOCAL") for count in (2147483647, -1, 65536, 100, 0)},
        "format.mha": line.format(3, "%s%s%s%n 1 9 1"),
        "environment.mhd": line.format(3, "/proc/self/environ"),
        "no voxels.mha": line.format(3, "LOCAL").replace("2 2 2", "0 0 0"),
        "ascii.nrrd": "NRRD0004\ntype: short\ndimension: 3\nsizes: 2 2 2\nencoding: ascii\n\n" + "1" * 3_000_000,
        "claim.nrrd": "NRRD0004\ntype: short\ndimension: 3\nsizes: 1100 1100 1100\nencoding: raw\nendian: little\n\nx",
        "short.hdr": "x" * 40,
        "deep.json": "[" * 100_000,
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "short.img").write_bytes(bytes(400))
    (folder / "bomb.nii.gz").write_bytes(gzip.compress(gzip.compress(bytes(200_000_000), 1), 9))
    (folder / "cut.mgz").write_bytes(gzip.compress(b"\0\0\0\1" + bytes(60)))
    os.mkfifo(folder / "pipe.nii")
    (folder / "empty.nii").touch()
    (folder / "loop.nii").symlink_to(folder / "loop.nii")
    return sorted(path for path in folder.iterdir())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_a_worker_answers_every_malformed_line_and_every_hostile_file_and_lives(folder: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "hostile"
    hostile.mkdir()
    files = [*_hostile_files(hostile), hostile]
    jobs = [_job(folder, str(each), "t1w.nii") for each in files]
    bombs = [{**jobs[0], "source": str(folder / "scan.nii"), "model": {"checkpoint": str(each)}} for each in files]
    last = _job(folder, "scan.nii", "last.nii")
    lines = [*_MALFORMED, *(json.dumps({"number": 7, "job": each}).encode() for each in (*jobs, *bombs, last))]
    done = subprocess.run(
        _SERVE, input=b"\n".join(lines) + b"\n", capture_output=True, env=_ENVIRONMENT, timeout=240, check=False
    )
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr, done.stderr.decode()[-2000:]
    events = [event for line in done.stdout.decode().splitlines() if (event := parse(line)) is not None]
    assert sum(isinstance(each, Error) for each in events) == len(lines) - 1
    assert isinstance(events[-2], Result) and isinstance(events[-1], JobEnded)
    assert (folder / "last.nii").exists() and not (folder / "t1w.nii").exists()
