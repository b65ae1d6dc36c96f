"""`slicer.app.coreIOManager()`: which kind a file is of, reading and writing it with the real storage nodes."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

import slicer
import vtk

_SCENE, _VOLUME = "SceneFile", "VolumeFile"
_KINDS = {".mrml": _SCENE, ".mrb": _SCENE, ".seg.nrrd": "SegmentationFile", ".csv": "TableFile", ".tsv": "TableFile"}
_VOLUMES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".mgz")
# Kinds that a node class reads by itself, with the storage node that it has by default.
_NODE_CLASSES = {"SegmentationFile": "vtkMRMLSegmentationNode", "TableFile": "vtkMRMLTableNode"}
_VOLUME_OPTIONS = {"labelmap": 1, "center": 2, "autoWindowLevel": 0, "singleFile": 8, "discardOrientation": 16}
_AUTO_WINDOW_LEVEL = 4


class CoreIOManager:
    def fileType(self, path: str) -> str:
        name = os.path.basename(str(path)).lower()
        endings = {**_KINDS, **dict.fromkeys(_VOLUMES, _VOLUME)}
        for ending in sorted(endings, key=len, reverse=True):
            if name.endswith(ending):
                return endings[ending]
        raise NotImplementedError(f"The host does not know what kind of file {path} is")

    def loadNodes(self, kind: str, properties: Mapping[str, Any], collection: Any = None, messages: Any = None) -> bool:
        options = dict(properties)
        path = str(options.pop("fileName"))
        if not os.path.isfile(path):
            _report(messages, f"No such file: {path}")
            return False
        if kind == _SCENE:
            return _loadScene(path, **options)
        node = _loadVolume(path, options) if kind == _VOLUME else _loadOther(kind, path, options)
        if node is not None and collection is not None:
            collection.AddItem(node)
        return node is not None

    def loadScene(self, path: str, clear: bool = True) -> bool:
        return self.loadNodes(_SCENE, {"fileName": path, "clear": clear})

    def saveNodes(self, kind: str, properties: Mapping[str, Any], messages: Any = None) -> bool:
        options = dict(properties)
        path = str(options.pop("fileName"))
        if "nodeID" not in options:
            return _saveScene(path, **options)
        node = _nodeOf(options.pop("nodeID"))
        if node.GetStorageNode() is None and not node.AddDefaultStorageNode(path):
            _report(messages, f"{node.GetName()} cannot be saved as {path}")
            return False
        return _write(node, node.GetStorageNode(), path, **options)

    def saveScene(self, path: str) -> bool:
        return _saveScene(str(path))

    def fileWriterFileType(self, node: Any) -> str:
        return node.GetClassName()

    def fileWriterExtensions(self, node: Any) -> list[str]:
        """Formats as 'NRRD (.nrrd)'."""
        formats = _storageOf(node).GetSupportedWriteFileTypes()
        return [formats.GetValue(index) for index in range(formats.GetNumberOfValues())]

    def extractKnownExtension(self, path: str, node: Any) -> str:
        name = os.path.basename(str(path)).lower()
        helper = slicer.vtkDataFileFormatHelper
        known = [helper.GetFileExtensionFromFormatString(each) for each in self.fileWriterExtensions(node)]
        return max((each for each in known if name.endswith(each)), key=len, default="")

    def exportNodes(
        self, nodeIDs: Iterable[str], paths: Iterable[str], properties: Mapping[str, Any], harden: bool, messages: Any
    ) -> bool:
        """Write with storage nodes of their own: the file names of the nodes stay as they are."""
        if harden:
            raise NotImplementedError("The host exports no nodes in world coordinates")
        options = {name: value for name, value in properties.items() if name != "fileFormat"}
        nodes = zip(map(_nodeOf, nodeIDs), map(str, paths), strict=True)
        return all(_write(node, _storageOf(node), path, **options) for node, path in nodes)


def _loadScene(path: str, *, clear: bool = False) -> bool:
    scene = slicer.mrmlScene
    if path.lower().endswith(".mrb"):
        return bool(scene.ReadFromMRB(path, clear))
    scene.SetURL(path)
    return bool(scene.Connect() if clear else scene.Import())


def _saveScene(path: str) -> bool:
    if path.lower().endswith(".mrb"):
        return bool(slicer.mrmlScene.WriteToMRB(path))
    if not path.lower().endswith(".mrml"):
        raise NotImplementedError(f"The host saves scenes as .mrb and .mrml only, not as {path}")
    slicer.mrmlScene.SetURL(path)
    return bool(slicer.mrmlScene.Commit())


def _loadVolume(path: str, properties: dict[str, Any]) -> Any:
    options = {"autoWindowLevel": True, **properties}
    name = options.pop("name", None) or _nameFrom(path)
    show = options.pop("show", True)
    flags = _AUTO_WINDOW_LEVEL if options["autoWindowLevel"] else 0
    for option, value in options.items():
        if option not in _VOLUME_OPTIONS:
            raise NotImplementedError(f"The host does not know the property '{option}' of a volume to load")
        flags |= _VOLUME_OPTIONS[option] if value else 0
    volume = slicer.modules.volumes.logic().AddArchetypeVolume(path, name, flags)
    if volume is not None and show:
        _showVolume(volume)
    return volume


def _showVolume(volume: Any) -> None:
    """Show a volume in the slice views that there are, as the application's reader does."""
    logic = slicer.app.applicationLogic()
    selection = logic.GetSelectionNode()
    if volume.IsA("vtkMRMLLabelMapVolumeNode"):
        selection.SetActiveLabelVolumeID(volume.GetID())
    else:
        selection.SetActiveVolumeID(volume.GetID())
    logic.PropagateVolumeSelection()


def _loadOther(kind: str, path: str, properties: dict[str, Any]) -> Any:
    if kind not in _NODE_CLASSES:
        raise NotImplementedError(f"The host reads no {kind}")
    unknown = set(properties) - {"name"}
    if unknown:
        raise NotImplementedError(f"The host does not know the properties {sorted(unknown)} of a {kind} to load")
    scene = slicer.mrmlScene
    name = scene.GenerateUniqueName(properties.get("name") or _nameFrom(path))
    node = scene.AddNewNodeByClass(_NODE_CLASSES[kind], name)
    node.AddDefaultStorageNode(path)
    storage = node.GetStorageNode()
    if storage.ReadData(node):
        node.CreateDefaultDisplayNodes()
        return node
    scene.RemoveNode(node)
    scene.RemoveNode(storage)
    return None


def _write(node: Any, storage: Any, path: str, *, useCompression: bool = True) -> bool:
    storage.SetFileName(path)
    storage.SetUseCompression(useCompression)
    return bool(storage.WriteData(node))


def _storageOf(node: Any) -> Any:
    """A storage node of the node's default class, which is not added to the scene."""
    storage = slicer.mrmlScene.CreateNodeByClass(node.GetDefaultStorageNodeClassName())
    storage.UnRegister(None)
    storage.SetScene(slicer.mrmlScene)  # the list of formats is empty without
    return storage


def _nodeOf(nodeID: str) -> Any:
    node = slicer.mrmlScene.GetNodeByID(nodeID)
    if node is None:
        raise ValueError(f"There is no node {nodeID}")
    return node


def _nameFrom(path: str) -> str:
    return os.path.basename(path).split(".")[0]


def _report(messages: Any, text: str) -> None:
    if messages is not None:
        messages.AddMessage(vtk.vtkCommand.ErrorEvent, text)
