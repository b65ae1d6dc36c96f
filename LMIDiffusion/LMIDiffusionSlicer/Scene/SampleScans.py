"""Bundled scans, in Slicer's Sample Data module and for the panel's button."""

from __future__ import annotations

from dataclasses import dataclass, field

from slicer.i18n import tr as _

from ..Base.Paths import resourcePath

_CATEGORY = "LMIDiffusion"


@dataclass(frozen=True)
class _Sample:
    name: str
    file: str
    nodeName: str
    checksum: str
    properties: dict = field(default_factory=dict)


_PDW = _Sample(
    "LMIDiffusionPDw",
    "sri24_PDw.nii.gz",
    "SRI24 PDw",
    "SHA256:1a395be53cf5d7828fc76c84be0ba8d41edda17cfe1908a49a72a10121e662d0",
)
_BRAIN = _Sample(
    "LMIDiffusionBrainMask",
    "sri24_tissue.nii.gz",
    "SRI24 brain mask",
    "SHA256:74fe9c4fa9d124a0a013fd233acce75834f38eb69d32ad17e7827511981bb948",
    {"labelmap": True},
)
_T2W = _Sample(
    "LMIDiffusionT2w",
    "ms_patient04_T2w.nii.gz",
    "MS patient T2w",
    "SHA256:7a57068accefdf807a4d345c30d60ff4d6fec009f52fd2212e9df95c5e86cba9",
)


def registerSamples() -> None:
    import SampleData

    if hasattr(SampleData.SampleDataLogic, "registerCustomSampleDataCategory"):  # since Slicer 5.13
        SampleData.SampleDataLogic.registerCustomSampleDataCategory(_CATEGORY, _("LMIDiffusion: zero-shot translation"))
    for sample in (_PDW, _BRAIN, _T2W):
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category=_CATEGORY,
            sampleName=sample.name,
            # Sample Data copies it to its cache: what the user saves must not land in the extension's folder.
            uris=resourcePath("SampleData", sample.file).as_uri(),
            fileNames=sample.file,
            nodeNames=sample.nodeName,
            thumbnailFileName=str(resourcePath("Icons", f"{sample.name}.png")),
            checksums=sample.checksum,
            loadFileProperties=sample.properties,
        )


def loadPDwSample() -> tuple:
    """Load the PDw volume and its brain mask."""
    import SampleData

    logic = SampleData.SampleDataLogic()
    return logic.downloadSample(_PDW.name), logic.downloadSample(_BRAIN.name)
