"""The panel's buttons that translate, and the progress, messages, errors and log of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import slicer
from slicer.i18n import tr as _

from ..Base.Errors import TranslationCancelled, TranslationError
from ..Logic.LMIDiffusionLogic import LMIDiffusionLogic
from ..Logic.TranslationRun import Outcome
from ..Scene import Settings, Views
from ..Scene.Request import TranslationRequest
from ..Scene.Results import SOURCE_ROLE, TranslationResult, keepNotices
from ..Scene.Sequences import SequenceLoader, SourceSequence
from ..Worker.Progress import Progress
from .BatchDialog import BatchDialog
from .BugReport import bugReport
from .Formatting import duration, progressText, summaryText
from .Installation import Installation
from .ResultSection import ResultSection


class RunSection:
    """
    :param result: shows new results.
    :param request: returns the request that the panel is set to.
    :param onStarted: called when a translation has started.
    """

    def __init__(
        self,
        ui,
        logic: LMIDiffusionLogic,
        result: ResultSection,
        *,
        request: Callable[[], TranslationRequest],
        onStarted: Callable[[], None],
    ):
        self._ui = ui
        self._logic = logic
        self._result = result
        self._request = request
        self._onStarted = onStarted
        self._parameterNode = None
        self.installation = Installation(self.showMessage, ui.logTextEdit.appendPlainText, endWorker=logic.endWorker)
        ui.translateButton.connect("clicked()", self._onTranslateOrCancel)
        ui.previewButton.connect("clicked()", self._onPreview)
        ui.severalButton.connect("clicked()", self._onSeveral)
        ui.detailsButton.connect("clicked()", self._onDetails)
        ui.copyReportButton.connect("clicked()", self._onCopyReport)
        ui.detailsButton.setVisible(False)
        self._showRunning(False)

    def setParameterNode(self, parameterNode) -> None:
        self._parameterNode = parameterNode

    def stop(self) -> None:
        pass

    def update(self) -> None:
        """Turn the buttons on or off, and show the hint to new users."""
        problem, isRunning = self._request().problem(), self._logic.isRunning
        isReady = problem is None and not self.installation.isActive
        self._ui.translateButton.text = _("Cancel") if isRunning else _("Translate")
        self._ui.translateButton.enabled = isRunning or isReady
        self._ui.previewButton.enabled = isReady and not isRunning
        self._ui.severalButton.enabled = not isRunning and not self.installation.isActive
        isNew = not Settings.isHintKnown()
        self._ui.hintLabel.setVisible(isNew)
        self._ui.sampleButton.setVisible(isNew or self._parameterNode.sourceVolume is None)
        if isRunning:
            self._ui.translateButton.toolTip = _("End the translation; nothing is kept of it.")
        else:
            self._ui.translateButton.toolTip = problem or _("Translate the source volume.")

    def showMessage(self, text: str) -> None:
        self._ui.statusLabel.text = text

    def showError(self, error: TranslationError) -> None:
        self._showRunning(False)
        self.showMessage(str(error))
        if not isinstance(error, TranslationCancelled):
            self._ui.detailsButton.setVisible(bool(error.details))
            # An empty text would still pad the dialog for details.
            slicer.util.errorDisplay(str(error), **({"detailedText": error.details} if error.details else {}))

    def _onTranslateOrCancel(self) -> None:
        source = SourceSequence.showing(self._parameterNode.sourceVolume) if self._parameterNode.allFrames else None
        if self._logic.isRunning:
            self._logic.cancel()
        elif source is not None:
            self._translateFrames(source)
        else:
            self._start([self._request()], lambda outcomes: self._onOutcome(outcomes[0], self._keep))

    def _onPreview(self) -> None:
        node = self._parameterNode
        index = Views.currentAxialSlice(node.sourceVolume)
        if index is None:
            self.showMessage(_("The red view shows no slice of the volume; scroll it into the volume first."))
            return
        request = dataclasses.replace(
            self._request(),
            outputVolume=_ofSource(node.previewVolume, node.sourceVolume),
            outputSegmentation=_ofSource(node.previewSegmentation, node.sourceVolume),
            uncertainty=False,
            draw=False,
            findBrain=False,
            slices=(index, index + 1),
        )
        self._start([request], lambda outcomes: self._onOutcome(outcomes[0], self._keepPreview))

    def _onSeveral(self) -> None:
        volumes = BatchDialog(self._ui.severalButton, lambda volume: self._requestFor(volume).problem()).choose()
        if volumes:
            self._start([self._requestFor(volume) for volume in volumes], self._onSeveralFinished)

    def _requestFor(self, volume: slicer.vtkMRMLScalarVolumeNode) -> TranslationRequest:
        """Return the panel's settings for one of several volumes; the brain mask is for the panel's source alone."""
        isSource = volume is self._parameterNode.sourceVolume
        return dataclasses.replace(
            self._request(),
            sourceVolume=volume,
            outputVolume=None,
            outputSegmentation=None,
            outputUncertainty=None,
            outputDraw=None,
            brainMask=self._parameterNode.brainMask if isSource else None,
            findBrain=self._parameterNode.findBrain and not (isSource and self._parameterNode.brainMask),
            slices=None,
        )

    def _translateFrames(self, source: SourceSequence) -> None:
        try:
            requests, loader = source.requests(self._request()), SequenceLoader(source, self._request())
        except TranslationError as error:
            self.showError(error)
            return
        self._start(
            requests,
            lambda outcomes: self._onFramesFinished(outcomes, loader),
            loader=loader,
        )

    def _start(
        self, requests: Sequence[TranslationRequest], onFinished: Callable[[list[Outcome]], None], **options
    ) -> None:
        self._ui.logTextEdit.clear()
        self._ui.detailsButton.setVisible(False)
        try:
            if not self._installPackages(requests):
                return
            self._logic.startTranslation(
                requests,
                onProgress=self._onProgress,
                onFinished=onFinished,
                onCancelled=self.showError,
                onLog=self._ui.logTextEdit.appendPlainText,
                **options,
            )
        except TranslationError as error:
            self.showError(error)
        else:
            Settings.remember(self._parameterNode)
            self._onStarted()
            self._showRunning(True)

    def _installPackages(self, requests: Sequence[TranslationRequest]) -> bool:
        """Install missing packages, and tell whether all are there; no button starts anything meanwhile."""
        optional = sorted({each for request in requests for each in request.optionalPackages()})
        try:
            return self.installation.ensure(optional=optional, onChanged=self._onInstalling)
        finally:
            self.update()

    def _onInstalling(self) -> None:
        self._ui.logCollapsibleButton.collapsed = False
        self.update()

    def _onProgress(self, progress: Progress) -> None:
        self.showMessage(progressText(progress))
        # A bar from 0 to 0 moves without an end.
        self._ui.progressBar.setMaximum(0 if progress.fraction is None else 100)
        if progress.fraction is not None:
            self._ui.progressBar.setValue(round(100 * progress.fraction))

    def _onOutcome(self, outcome: Outcome, keep: Callable[[TranslationResult], None]) -> None:
        if outcome.error is not None:
            self.showError(outcome.error)
            return
        keep(outcome.result)
        keepNotices(outcome.result.volume, outcome.notices)
        self._show(outcome.result)
        self.showMessage(_("Done in {time}.").format(time=duration(outcome.result.seconds)))

    def _onSeveralFinished(self, outcomes: list[Outcome]) -> None:
        done = [outcome for outcome in outcomes if outcome.error is None]
        for outcome in done:
            keepNotices(outcome.result.volume, outcome.notices)
        if done:
            self._show(done[-1].result)
        self._showRunning(False)
        self.showMessage(summaryText(outcomes))
        self._ui.detailsButton.setVisible(len(done) < len(outcomes))

    def _onFramesFinished(self, outcomes: list[Outcome], loader: SequenceLoader) -> None:
        failed = next(((n, each.error) for n, each in enumerate(outcomes, 1) if each.error is not None), None)
        if failed is not None:
            message = _("Frame {number} failed, so that nothing was kept: {reason}")
            error = TranslationError(message.format(number=failed[0], reason=failed[1]), failed[1].details)
            self.showError(error)
            return
        result = loader.publish([notice for outcome in outcomes for notice in outcome.notices])
        self._keep(result)
        self._show(result)
        self.showMessage(_("{count} frames done in {time}.").format(count=len(outcomes), time=duration(result.seconds)))

    def _keep(self, result: TranslationResult) -> None:
        """Offer the outputs again for this source; the user may have turned to another one meanwhile."""
        node = self._parameterNode
        if _ofSource(result.volume, node.sourceVolume) is None:
            return
        node.outputVolume, node.outputSegmentation = result.volume, result.segmentation
        if result.uncertainty is not None:
            node.uncertaintyVolume = result.uncertainty
        if result.draw is not None:
            node.drawVolume = result.draw

    def _keepPreview(self, result: TranslationResult) -> None:
        self._parameterNode.previewVolume = result.volume
        self._parameterNode.previewSegmentation = result.segmentation

    def _show(self, result: TranslationResult) -> None:
        Settings.hintIsKnown()
        self._result.showNew(result)
        self._showRunning(False)

    def _onDetails(self) -> None:
        self._ui.logCollapsibleButton.collapsed = False

    def _onCopyReport(self) -> None:
        lines = self._ui.logTextEdit.toPlainText().splitlines()
        slicer.app.clipboard().setText(bugReport(self._request(), [*lines, self._ui.statusLabel.text]))
        self.showMessage(_("The report is on the clipboard; read it before you send it."))

    def _showRunning(self, isRunning: bool) -> None:
        self._ui.progressBar.setVisible(isRunning)
        if self._parameterNode is not None:
            self.update()


def _ofSource(node, source):
    """Return a result if it is of this source, else None: another source gets one of its own."""
    return node if node is not None and node.GetNodeReference(SOURCE_ROLE) is source else None
