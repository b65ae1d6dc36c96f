"""Progress, times and outcomes as text."""

from __future__ import annotations

from slicer.i18n import tr as _

from LMIDiffusionLib.interface.events import Stage

from ..Logic.TranslationRun import Outcome
from ..Worker.Progress import Progress


def progressText(progress: Progress) -> str:
    names = {
        None: _("Starting"),
        Stage.READING: _("Reading the volume"),
        Stage.LOADING: _("Loading the checkpoint"),
        Stage.TRANSLATING: _("Translating"),
        Stage.DRAWING: _("Drawing samples"),
        Stage.SEGMENTING: _("Segmenting"),
        Stage.WRITING: _("Writing the result"),
    }
    text = names[progress.stage]
    if progress.work is not None:
        text = _("{stage}: slice {number} of {count}").format(
            stage=text,
            number=min(progress.work.slice + 1, progress.work.slices),
            count=progress.work.slices,
        )
    if progress.count > 1:
        text = _("Volume {number} of {count}. {text}").format(
            number=progress.number + 1, count=progress.count, text=text
        )
    if progress.secondsLeft is not None:
        text = _("{text}, about {time} left").format(text=text, time=duration(progress.secondsLeft))
    return text


def duration(seconds: float) -> str:
    if seconds < 90:
        return _("{count} s").format(count=max(1, round(seconds)))
    return _("{count} min").format(count=round(seconds / 60))


def summaryText(outcomes: list[Outcome]) -> str:
    """Tell how many of several volumes are done, which failed, and why."""
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    text = _("{done} of {count} volumes done.").format(done=len(outcomes) - len(failed), count=len(outcomes))
    for outcome in failed:
        reason = _("{name} failed: {reason}").format(name=outcome.request.sourceVolume.GetName(), reason=outcome.error)
        text = f"{text} {reason}"
    return text
