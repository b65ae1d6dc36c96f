"""Follow README and tutorials in an environment that nothing but README's own lines has made.

The tests run with the developers' Python; each command and example that they try is run in the new environment.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import set_up

ROOT = set_up.ROOT
TESTS = "of_the_readme_run or python_page_run or as_the_tutorial_says or cell_of_the_notebook"


def install_lines() -> list[list[str]]:
    """Return what README has people give to pip; its first block holds nothing else that installs."""
    (block,) = re.findall(r"## Install\n+```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return [shlex.split(line, comments=True)[1:] for line in block.splitlines() if line.startswith("pip ")]


def install(folder: Path) -> Path:
    """Follow README's section on installation in a new environment, and return its folder of scripts."""
    venv.create(folder, with_pip=True)
    scripts = folder / ("Scripts" if sys.platform == "win32" else "bin")
    for words in install_lines():
        if set_up.CPU_INDEX in words and not set_up.reaches(set_up.CPU_INDEX):
            print(set_up.WITH_CUDA, flush=True)
            words = [word for word in words if word not in ("--index-url", set_up.CPU_INDEX)]
        subprocess.run([scripts / "python", "-m", "pip", *words, "--quiet"], cwd=ROOT, check=True)
    return scripts


def main() -> None:
    """Make the environment, follow the pages in it, and remove it."""
    with tempfile.TemporaryDirectory() as folder:
        scripts = install(Path(folder) / "environment")
        command = [sys.executable, "-m", "pytest", "-q", "Testing/Library/test_docs.py", "-k", TESTS]
        environment = {**os.environ, "LMIDIFFUSION_SCRIPTS": str(scripts)}
        environment.pop("PYTHONPATH", None)  # it would lead the new environment to this checkout
        sys.exit(subprocess.run(command, cwd=ROOT, env=environment).returncode)


if __name__ == "__main__":
    main()
