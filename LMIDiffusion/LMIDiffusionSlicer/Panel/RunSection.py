"""The panel's buttons that translate, and what is seen of a run: progress, messages, errors, log."""

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
from ..Scene.Results import TranslationResult, keepDoubts
from ..Scene.Sequences import SequencePublisher, SourceSequence
from ..Worker.Progress import Progress
from .BatchDialog import SeveralDialog
from .BugReport import report
from .Formatting import duration, progressText, summaryText
from .Installation import Installation
from .ResultSection import ResultSection


class RunSection:
    """
    :param request: what the panel is set to.
    :param result: shows what has been made.
    """

    def __init__(
        self, ui, logic: LMIDiffusionLogic, result: ResultSection, *, request: Callable[[], TranslationRequest]
    ):
        self._ui = ui
        self._logic = logic
        self._result = result
        self._request = request
        self._parameterNode = None
        self.installation = Installation(self.showMessage, ui.logTextEdit.appendPlainText, endWorker=logic.endWorker)
        ui.translateButton.connect("clicked()", self._onTranslateOrCancel)
        ui.previewButton.connect("clicked()", self._onPreview)
        ui.severalButton.connect("clicked()", self._onSeveral)
        ui.detailsButton.connect("clicked()", self._onDetails)
        ui.copyReportButton.connect("clicked()", self._onCopyReport)
        ui.detailsButton.setVisible(False)
        ui.hintLabel.setVisible(not Settings.isHintKnown())
        self._showRunning(False)

    def setParameterNode(self, parameterNode) -> None:
        self._parameterNode = parameterNode

    def update(self) -> None:
        """Turn the buttons on or off."""
        problem, isRunning = self._request().problem(), self._logic.isRunning
        isReady = problem is None and not self.installation.isActive
        self._ui.translateButton.text = _("Cancel") if isRunning else _("Translate")
        self._ui.translateButton.enabled = isRunning or isReady
        self._ui.previewButton.enabled = isReady and not isRunning
        self._ui.severalButton.enabled = not isRunning and not self.installation.isActive
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
        source = SourceSequence.of(self._parameterNode.sourceVolume) if self._parameterNode.allFrames else None
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
            outputVolume=node.previewVolume,
            outputSegmentation=node.previewSegmentation,
            uncertainty=False,
            findBrain=False,
            slices=(index, index + 1),
        )
        self._start([request], lambda outcomes: self._onOutcome(outcomes[0], self._keepPreview))

    def _onSeveral(self) -> None:
        volumes = SeveralDialog(self._ui.severalButton, lambda volume: self._requestFor(volume).problem()).choose()
        if volumes:
            self._start([self._requestFor(volume) for volume in volumes], self._onSeveralFinished)

    def _requestFor(self, volume: slicer.vtkMRMLScalarVolumeNode) -> TranslationRequest:
        """The panel's settings for one of several volumes; the brain mask is that of the panel's source."""
        isSource = volume is self._parameterNode.sourceVolume
        return dataclasses.replace(
            self._request(),
            sourceVolume=volume,
            outputVolume=None,
            outputSegmentation=None,
            outputUncertainty=None,
            brainMask=self._parameterNode.brainMask if isSource else None,
            findBrain=self._parameterNode.findBrain and not (isSource and self._parameterNode.brainMask),
            slices=None,
        )

    def _translateFrames(self, source: SourceSequence) -> None:
        try:
            requests, publisher = source.requests(self._request()), SequencePublisher(source, self._request())
        except TranslationError as error:
            self.showError(error)
            return
        self._start(
            requests,
            lambda outcomes: self._onFramesFinished(outcomes, publisher),
            publishResult=publisher.collect,
            inputs=[source.volume, source.sequence, source.browser],
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
            self._showRunning(True)

    def _installPackages(self, requests: Sequence[TranslationRequest]) -> bool:
        """Whether all packages are there. Installing runs the event loop: no button may start anything meanwhile."""
        optional = sorted({each for request in requests for each in request.optionalPackages()})
        try:
            return self.installation.ensure(optional=optional, onChanged=self.update)
        finally:
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
        keepDoubts(outcome.result.volume, outcome.doubts)
        self._show(outcome.result)
        self.showMessage(_("Done in {time}.").format(time=duration(outcome.result.seconds)))

    def _onSeveralFinished(self, outcomes: list[Outcome]) -> None:
        done = [outcome for outcome in outcomes if outcome.error is None]
        for outcome in done:
            keepDoubts(outcome.result.volume, outcome.doubts)
        if done:
            self._show(done[-1].result)
        self._showRunning(False)
        self.showMessage(summaryText(outcomes))
        self._ui.detailsButton.setVisible(len(done) < len(outcomes))

    def _onFramesFinished(self, outcomes: list[Outcome], publisher: SequencePublisher) -> None:
        failed = next(((n, each.error) for n, each in enumerate(outcomes, 1) if each.error is not None), None)
        if failed is not None:
            message = _("Frame {number} failed, so that nothing was kept: {reason}")
            error = TranslationError(message.format(number=failed[0], reason=failed[1]), failed[1].details)
            self.showError(error)
            return
        result = publisher.publish()
        keepDoubts(result.volume, (doubt for outcome in outcomes for doubt in outcome.doubts))
        self._show(result)
        self.showMessage(_("{count} frames done in {time}.").format(count=len(outcomes), time=duration(result.seconds)))

    def _keep(self, result: TranslationResult) -> None:
        node = self._parameterNode
        node.outputVolume, node.outputSegmentation = result.volume, result.segmentation
        if result.uncertainty is not None:
            node.uncertaintyVolume = result.uncertainty

    def _keepPreview(self, result: TranslationResult) -> None:
        self._parameterNode.previewVolume = result.volume
        self._parameterNode.previewSegmentation = result.segmentation

    def _show(self, result: TranslationResult) -> None:
        before = self._parameterNode.resultSegmentation
        if before is not None and before is not result.segmentation and before.GetDisplayNode() is not None:
            before.GetDisplayNode().SetVisibility(False)  # its outlines would lie over the new ones
        result.segmentation.GetDisplayNode().SetVisibility(True)
        self._parameterNode.resultVolume = result.volume
        self._parameterNode.resultSegmentation = result.segmentation
        self._result.showNew()
        self._showRunning(False)
        Settings.hintIsKnown()
        self._ui.hintLabel.setVisible(False)

    def _onDetails(self) -> None:
        self._ui.logCollapsibleButton.collapsed = False

    def _onCopyReport(self) -> None:
        lines = self._ui.logTextEdit.toPlainText().splitlines()
        slicer.app.clipboard().setText(report(self._request(), [*lines, self._ui.statusLabel.text]))
        self.showMessage(_("The report is on the clipboard; read it before you send it."))

    def _showRunning(self, isRunning: bool) -> None:
        self._ui.progressBar.setVisible(isRunning)
        if self._parameterNode is not None:
            self.update()
