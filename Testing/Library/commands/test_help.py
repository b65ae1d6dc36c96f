"""Help, usage, and how much commands print."""

import dataclasses
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from running import run_here

from LMIDiffusionLib.cli import COMMANDS, main, parser_for
from LMIDiffusionLib.images.volume import Volume, write_volume
from LMIDiffusionLib.model.checkpoint import Checkpoint, save_checkpoint

NAMES = sorted(COMMANDS)


@pytest.mark.parametrize("name", NAMES)
def test_help_ends_with_an_example_that_is_understood(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*name.split(), "--help"])
    last = capsys.readouterr().out.rstrip().splitlines()[-1]
    words = shlex.split(last)
    words = words[words.index("lmidiffusion") + 1 :]
    assert " ".join(words).startswith(name)
    parser_for(words).parse_args(words)


@pytest.mark.parametrize("name", NAMES)
def test_help_shows_defaults_as_one_would_type_them(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*name.split(), "--help"])
    shown = re.sub(r"\s+", " ", capsys.readouterr().out)
    defaults = re.findall(r"\(default: ([^)]*)\)", shown)
    assert not [each for each in defaults if re.search(r"[\[\]']|None|False", each)]
    if "--seed" in shown:
        assert re.search(r"random seed[^:]*\(default: 0\)", shown)


def test_options_of_translate_stand_in_four_groups(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["translate", "--help"])
    groups = re.findall(r"^([a-z]+):$", capsys.readouterr().out, re.MULTILINE)
    assert groups == ["options", "input", "output", "quality", "hardware", "example"]


@pytest.mark.parametrize(
    ("name", "needed"),
    [("translate", "scan t1w"), ("translate-cohort", "scans t1w"), ("benchmark quality", "pairs --output scores")],
)
def test_an_unknown_option_is_named_with_the_help_of_its_command(
    name: str, needed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*name.split(), *needed.split(), "--no-such-option"])
    shown = capsys.readouterr().err
    assert shown == f"lmidiffusion: There is no --no-such-option.\nSee lmidiffusion {name} --help.\n"


@pytest.mark.parametrize(
    ("words", "sentence", "command"),
    [
        ("translate a b --find-brains", "There is no --find-brains; did you mean --find-brain?", " translate"),
        ("translate a b --segmentaton=c", "There is no --segmentaton; did you mean --segmentation?", " translate"),
        ("translate a b --quality fsat", "There is no quality fsat; did you mean fast?", " translate"),
        ("translate-cohort a b grop", "There is no level grop; did you mean group?", " translate-cohort"),
        ("tranlate a b", "There is no command tranlate; did you mean translate?", ""),
        ("translate a b --precision 8", "There is no precision 8; choose one of auto, 32, bf16.", " translate"),
    ],
)
def test_a_misspelled_word_is_answered_by_the_likeliest_one(
    words: str, sentence: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words.split())
    assert capsys.readouterr().err == f"lmidiffusion: {sentence}\nSee lmidiffusion{command} --help.\n"


def test_the_former_name_of_a_command_works_without_being_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["no-such-command"])
    assert "evaluate" not in capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        main(["evaluate", "--help"])
    assert capsys.readouterr().out.startswith("usage: lmidiffusion benchmark quality")


def test_help_needs_no_package_of_an_extra() -> None:
    code = f"""
import sys
for package in ("lightning", "matplotlib", "skimage", "tensorboard", "deepbet"):
    sys.modules[package] = None
from LMIDiffusionLib.cli import parser_for
for name in {NAMES!r}:
    parser_for(name.split()).format_help()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_quiet_translations_print_nothing(
    thin_scan: Volume, tmp_path: Path, cohort_options: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    write_volume(tmp_path / "scan.nii.gz", thin_scan)
    with pytest.raises(SystemExit, match="0"):
        main(["translate", str(tmp_path / "scan.nii.gz"), str(tmp_path / "t1w.nii.gz"), *cohort_options, "--quiet"])
    assert (tmp_path / "t1w.nii.gz").is_file()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"serve", "info", "doctor", "benchmark speed"}))
def test_commands_that_write_files_can_be_quiet_or_verbose(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*name.split(), "--help"])
    assert {"--quiet", "--verbose"} <= {*re.findall(r"--\w+", capsys.readouterr().out)}


def test_verbose_commands_show_the_traceback_of_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["translate", "no-such-file.nii.gz", "t1w.nii.gz", "--verbose"])
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.rstrip().splitlines()[-1].startswith("lmidiffusion: no-such-file.nii.gz does not exist")


def test_threads_are_limited() -> None:
    code = """
import atexit, os
from LMIDiffusionLib.cli import main
def tell():
    import torch
    print(torch.get_num_threads(), os.environ["OMP_NUM_THREADS"])
atexit.register(tell)
main(["translate", "no-such-file.nii.gz", "t1w.nii.gz", "--threads", "3"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["3", "3"]


@pytest.mark.parametrize(
    "words",
    [
        ["translate-cohort", "missing", "out"],
        ["train", "missing", "--output", "out"],
        ["prepare", "missing", "--output", "out"],
    ],
)
def test_a_missing_folder_is_reported_as_missing(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert "missing does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(("typed", "offered"), [("tra", "translate-cohort"), ("translate --fi", "--find-brain")])
def test_bash_completes_commands_and_options(typed: str, offered: str, tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    script = tmp_path / "completion.sh"
    script.write_text(run_here("--print-completion", "bash").stdout)
    words = ["lmidiffusion", *typed.split()]
    ask = f"""
source {script}
COMP_WORDS=({" ".join(words)}) COMP_CWORD={len(words) - 1}
$(complete -p lmidiffusion | sed 's/.*-F \\([^ ]*\\).*/\\1/')
echo "${{COMPREPLY[@]}}"
"""
    shown = subprocess.run([bash, "-c", ask], capture_output=True, text=True, check=True).stdout
    assert offered in shown.split()


def test_info_tells_nothing_that_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["info", "t1w-ixi-2mm"])
    shown = capsys.readouterr().out
    assert "modality" in shown and not re.search(r" None$", shown, re.MULTILINE)


def test_escapes_in_a_checkpoint_do_not_steer_the_terminal(
    tiny_checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    origin = dataclasses.replace(tiny_checkpoint.provenance, training_data="scans \x1b[2J of nobody")
    save_checkpoint(dataclasses.replace(tiny_checkpoint, provenance=origin), tmp_path / "steering.safetensors")
    with pytest.raises(SystemExit, match="0"):
        main(["info", str(tmp_path / "steering.safetensors")])
    shown = capsys.readouterr().out
    assert "scans \\x1b[2J of nobody" in shown and "\x1b" not in shown
