"""The panel and the logic of the module. Only light parts of the library are imported: nothing that needs PyTorch."""

import sys
from pathlib import Path

_MODULE_FOLDER = Path(__file__).resolve().parent.parent
# The library lies beside the module when installed, one folder up in a source checkout.
_FOLDERS = (_MODULE_FOLDER, _MODULE_FOLDER.parent)
LIBRARY_FOLDER = next(each for each in _FOLDERS if (each / "LMIDiffusionLib" / "__init__.py").is_file())


def preferOwnLibrary() -> None:
    """Make imports take the library beside the module, whatever copy pip has installed: the worker runs this one too.

    :raises ImportError: another copy has been imported already.
    """
    loaded = sys.modules.get("LMIDiffusionLib")
    if loaded is not None and Path(loaded.__file__).resolve().parent.parent != LIBRARY_FOLDER:
        raise ImportError(
            f"LMIDiffusion cannot be loaded: another copy of LMIDiffusionLib ({loaded.__file__}) is in use. Uninstall"
            " that copy (pip uninstall LMIDiffusionLib) or import it in no startup script, and restart Slicer."
        )
    sys.path[:] = [str(LIBRARY_FOLDER), *(each for each in sys.path if each != str(LIBRARY_FOLDER))]
