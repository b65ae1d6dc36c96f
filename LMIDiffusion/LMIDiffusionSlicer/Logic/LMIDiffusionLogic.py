"""Translation of volumes, with or without the panel."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from ..Base.Errors import TranslationCancelled, TranslationError
from ..Scene import Settings
from ..Scene.ParameterNode import LMIDiffusionParameterNode, dropUnknownChoices
from ..Scene.Request import TranslationRequest
from ..Scene.Results import TranslationResult
from ..Worker.Progress import Progress
from ..Worker.WorkerPool import WorkerPool
from .TranslationRun import Outcome, TranslationRun

_IS_SET = "LMIDiffusion.isSet"


class LMIDiffusionLogic(ScriptedLoadableModuleLogic):
    """Translates volumes, with or without the panel. It runs one translation at a time.

    .. code-block:: python

      import LMIDiffusion

      logic = LMIDiffusion.LMIDiffusionLogic()
      result = logic.translate(slicer.util.loadVolume("flair.nii.gz"), samples=8)
      slicer.util.exportNode(result.volume, "t1w.nii.gz")

    :param workers: processes that translate; by default all logics of the application share one that waits for work.
    """

    def __init__(self, *, workers: WorkerPool | None = None):
        ScriptedLoadableModuleLogic.__init__(self)
        self._workers = _sharedWorkers() if workers is None else workers
        self._run: TranslationRun | None = None
        self._wrapper: LMIDiffusionParameterNode | None = None

    @property
    def isRunning(self) -> bool:
        return self._run is not None and self._run.isActive

    def getParameterNode(self) -> LMIDiffusionParameterNode:
        """Return the scene's parameters; node and wrapper live on when the scene is closed."""
        node = super().getParameterNode()
        dropUnknownChoices(node)
        if self._wrapper is None or self._wrapper.parameterNode is not node:
            self._wrapper = LMIDiffusionParameterNode(node)  # type: ignore[call-arg]  # the decorator gives it this
        if not node.GetAttribute(_IS_SET):  # it comes from no scene
            Settings.recall(self._wrapper)
            node.SetAttribute(_IS_SET, "yes")
        return self._wrapper

    def readParametersAnew(self) -> None:
        """Read the parameters again after a scene has been loaded; the wrapper remembers nodes that were missing."""
        self.getParameterNode().parameterNode.Modified()

    def translate(
        self,
        sourceVolume: slicer.vtkMRMLScalarVolumeNode,
        *,
        onProgress: Callable[[Progress], None] | None = None,
        **options,
    ) -> TranslationResult:
        """Translate a volume and wait for the result; the event loop runs meanwhile.

        :param options: as `TranslationRequest` takes them, such as `samples` or `brainMask`.
        :raises TranslationError: it cannot be done; a TranslationCancelled if it was ended by `cancel`, by closing the
          scene, by deleting the source, or by quitting.
        """
        run = self.startTranslation([TranslationRequest(sourceVolume, **options)], onProgress=onProgress)
        run.wait()
        outcome = run.outcomes[0]
        if outcome.error is not None:
            raise outcome.error
        return outcome.result

    def startTranslation(
        self,
        requests: Sequence[TranslationRequest],
        *,
        onFinished: Callable[[list[Outcome]], None] | None = None,
        onCancelled: Callable[[TranslationCancelled], None] | None = None,
        **options,
    ) -> TranslationRun:
        """Translate one volume or several in one process, and return at once.

        The callbacks and options are those of `TranslationRun`; the callbacks come through the event loop.

        :raises TranslationError: it cannot be started, as when another one is running.
        """
        if self.isRunning:
            raise TranslationError(_("A translation is running already; cancel it or wait for its end."))
        run = TranslationRun(
            requests,
            workers=self._workers,
            onFinished=self._whenEnded(onFinished),
            onCancelled=self._whenEnded(onCancelled),
            **options,
        )
        self._run = run
        try:
            run.start()
        except BaseException:
            self._run = None
            raise
        return run

    def _whenEnded(self, tell: Callable[..., None] | None) -> Callable[..., None]:
        """Forget the run, which holds on to its nodes, before anyone hears of its end."""

        def end(what: Any) -> None:
            self._run = None
            if tell is not None:
                tell(what)

        return end

    def cancel(self) -> None:
        """End the translation that runs; harmless if there is none."""
        if self._run is not None:
            self._run.cancel()

    def endWorker(self) -> None:
        """End the process that waits for the next translation; harmless if there is none."""
        self._workers.end()


@functools.cache
def _sharedWorkers() -> WorkerPool:
    return WorkerPool()
