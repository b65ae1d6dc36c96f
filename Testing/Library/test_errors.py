"""Properties of messages for a terminal."""

import os

import pytest

from LMIDiffusionLib.errors import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größe 脳.nii: a b", "größe 脳.nii: a b"),
        ("a\x1b[31mb\r\x07", "a\\x1b[31mb\\x0d\\x07"),
        (os.fsdecode(b"M\xfcller"), "M\\udcfcller"),
        ("first\nsecond", "first\nsecond"),
        ("\x9b31m", "\\x9b31m"),
    ],
)
def test_characters_that_steer_a_terminal_are_spelled_out(text: str, shown: str) -> None:
    assert printable(text) == shown
