"""The panel and the logic of the module. Only light parts of the library are imported: nothing that needs PyTorch."""

import sys
from pathlib import Path

_MODULE_FOLDER = Path(__file__).resolve().parent.parent
# The library lies beside the module when installed, one folder up in a source checkout.
_FOLDERS = (_MODULE_FOLDER, _MODULE_FOLDER.parent)
LIBRARY_FOLDER = next(each for each in _FOLDERS if (each / "LMIDiffusionLib" / "__init__.py").is_file())
if str(LIBRARY_FOLDER) not in sys.path:
    sys.path.append(str(LIBRARY_FOLDER))
