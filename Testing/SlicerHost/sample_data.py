"""A stand-in for Slicer's module SampleData: registration of local files and loading them by name."""

import shutil
import sys
import types
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import slicer


class SampleDataLogic:
    sources = {}

    @staticmethod
    def registerCustomSampleDataSource(
        *,
        category,
        sampleName,
        uris,
        fileNames,
        nodeNames,
        thumbnailFileName,
        checksums,
        loadFileType,
        loadFileProperties,
    ):
        if loadFileType != "VolumeFile":
            raise NotImplementedError(f"The host loads sample volumes only, not {loadFileType}")
        if not Path(thumbnailFileName).is_file():
            raise FileNotFoundError(f"The thumbnail {thumbnailFileName} of {sampleName} does not exist")
        SampleDataLogic.sources[sampleName] = types.SimpleNamespace(
            category=category,
            uri=uris,
            fileName=fileNames,
            nodeName=nodeNames,
            checksum=checksums,
            properties=loadFileProperties,
        )

    def downloadSample(self, sampleName):
        source = self.sources[sampleName]
        parts = urlparse(source.uri)
        if parts.scheme != "file":
            raise NotImplementedError(f"The host downloads nothing, so not {source.uri}")
        copy = Path(slicer.app.temporaryPath, source.fileName)
        shutil.copyfile(url2pathname(parts.path), copy)
        algorithm, _, digest = source.checksum.partition(":")
        if slicer.util.computeChecksum(algorithm, str(copy)) != digest:
            raise ValueError(f"The checksum of {copy.name} is not that of {sampleName}")
        return slicer.util.loadVolume(str(copy), {"name": source.nodeName, **source.properties})


def install():
    """Make it importable as Slicer's module."""
    module = types.ModuleType("SampleData")
    module.SampleDataLogic = SampleDataLogic
    sys.modules["SampleData"] = module
