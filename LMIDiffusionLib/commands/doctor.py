"""`doctor`: installed and missing packages, and what they are for."""

from __future__ import annotations

import argparse

from ..errors import UserError

SUMMARY = "Show versions, devices and checkpoints, and what is missing for which command."
EXAMPLE = "lmidiffusion doctor"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(parsed: argparse.Namespace) -> None:
    from ..jobs.doctor import diagnose

    diagnosis = diagnose()
    width = max(len(name) for rows in diagnosis.sections.values() for name, _ in rows)
    for heading, rows in diagnosis.sections.items():
        print(heading)
        for name, text in rows:
            print(f"  {name:<{width}}  {text}")
    if diagnosis.problem:
        raise UserError(f"Nothing can be translated here: {diagnosis.problem}")
