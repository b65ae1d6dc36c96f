"""Slicer's module SampleData: registration of samples and loading them by name, from local files."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import slicer


@dataclass(frozen=True)
class SampleDataSource:
    """A sample of one or several files; texts stand for tuples of one."""

    sampleName: str
    uris: tuple[str, ...]
    fileNames: tuple[str, ...]
    nodeNames: tuple[str, ...]
    checksums: tuple[str, ...]
    loadFileTypes: tuple[str, ...]
    customDownloader: Callable[["SampleDataSource"], Any] | None
    loadFileProperties: dict[str, Any] = field(hash=False)


class SampleDataLogic:
    @staticmethod
    def registerCustomSampleDataCategory(category: str, title: str) -> None:
        if not hasattr(slicer.modules, "sampleDataSourceCategories"):
            slicer.modules.sampleDataSourceCategories = {}
        slicer.modules.sampleDataSourceCategories.setdefault(category, {})["title"] = title

    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom",
        sampleName: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        customDownloader: Callable[[SampleDataSource], Any] | None = None,
        thumbnailFileName: str | None = None,
        loadFileType: Any = "VolumeFile",
        loadFiles: Any = None,
        loadFileProperties: dict[str, Any] | None = None,
        checksums: Any = None,
    ) -> None:
        if not sampleName or not thumbnailFileName or not Path(thumbnailFileName).is_file():
            raise ValueError(f"The sample '{sampleName}' needs a name and a thumbnail that exists: {thumbnailFileName}")
        if loadFiles is not None:
            raise NotImplementedError("The host loads all files of a sample; it does not know loadFiles")
        files = _tuple(fileNames)
        source = SampleDataSource(
            sampleName=sampleName,
            uris=_tuple(uris),
            fileNames=files,
            nodeNames=_tuple(nodeNames),
            checksums=_tuple(checksums),
            loadFileTypes=_tuple(loadFileType) * (len(files) if isinstance(loadFileType, str) else 1),
            customDownloader=customDownloader,
            loadFileProperties=dict(loadFileProperties or {}),
        )
        registered = SampleDataLogic.sampleDataSourcesByCategory(category)
        if source not in registered:
            registered.append(source)

    @staticmethod
    def sampleDataSourcesByCategory(category: str) -> list[SampleDataSource]:
        if not hasattr(slicer.modules, "sampleDataSources"):
            slicer.modules.sampleDataSources = {}
        return slicer.modules.sampleDataSources.setdefault(category, [])

    def sourceForSampleName(self, sampleName: str) -> SampleDataSource:
        for sources in getattr(slicer.modules, "sampleDataSources", {}).values():
            for source in sources:
                if source.sampleName == sampleName:
                    return source
        raise ValueError(f"No sample '{sampleName}' is registered")

    def downloadSample(self, sampleName: str) -> Any:
        """Load the first file of a sample; returns its node."""
        return self.downloadSamples(sampleName)[0]

    def downloadSamples(self, sampleName: str) -> list[Any]:
        return self.downloadFromSource(self.sourceForSampleName(sampleName))

    def downloadFromSource(self, source: SampleDataSource) -> list[Any]:
        if source.customDownloader is not None:
            result = source.customDownloader(source)
            return list(result) if isinstance(result, (list, tuple)) else [result]
        files = zip(
            source.uris, source.fileNames, source.nodeNames, source.checksums, source.loadFileTypes, strict=True
        )
        return [
            self._load(self._copyToCache(uri, name, checksum), nodeName, fileType, source.loadFileProperties)
            for uri, name, nodeName, checksum, fileType in files
        ]

    def _copyToCache(self, uri: str, name: str, checksum: str) -> Path:
        parts = urlparse(uri)
        if parts.scheme != "file":
            raise NotImplementedError(f"The host downloads nothing, so not {uri}")
        copy = Path(slicer.mrmlScene.GetCacheManager().GetRemoteCacheDirectory(), name)
        shutil.copyfile(url2pathname(parts.path), copy)
        algorithm, _, digest = checksum.partition(":")
        if slicer.util.computeChecksum(algorithm, str(copy)) != digest:
            raise ValueError(f"The checksum of {name} is not {checksum}")
        return copy

    def _load(self, path: Path, nodeName: str, fileType: str, properties: dict[str, Any]) -> Any:
        return slicer.util.loadNodeFromFile(str(path), fileType, {**properties, "name": nodeName})


def _tuple(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)
