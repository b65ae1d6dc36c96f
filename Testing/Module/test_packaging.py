"""The tree that `cmake --install` makes for Slicer, which works by itself."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

_MODULES = "lib/qt-scripted-modules"
# The macros of Slicer and CTK that the project calls, reduced to what they copy and where.
_MACROS = """
function(ctkMacroCompilePythonScript)
  cmake_parse_arguments(MY "NO_INSTALL_SUBDIR" "TARGET_NAME;DESTINATION_DIR;INSTALL_DIR" "SCRIPTS;RESOURCES" ${ARGN})
  foreach(file IN LISTS MY_SCRIPTS MY_RESOURCES)
    if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${file})
      message(FATAL_ERROR "no such file: ${file}")
    endif()
    get_filename_component(folder ${file} DIRECTORY)
    file(COPY ${CMAKE_CURRENT_SOURCE_DIR}/${file} DESTINATION ${MY_DESTINATION_DIR}/${folder})
  endforeach()
  install(DIRECTORY ${MY_DESTINATION_DIR}/ DESTINATION ${MY_INSTALL_DIR})
endfunction()
function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MY "WITH_GENERIC_TESTS" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  ctkMacroCompilePythonScript(TARGET_NAME ${MY_NAME} SCRIPTS "${MY_SCRIPTS}" RESOURCES "${MY_RESOURCES}"
    DESTINATION_DIR ${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}
    INSTALL_DIR ${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR} NO_INSTALL_SUBDIR)
endfunction()
function(slicer_add_python_unittest)
  cmake_parse_arguments(MY "" "SCRIPT;TESTNAME_PREFIX" "SLICER_ARGS" ${ARGN})
  get_filename_component(name ${MY_SCRIPT} NAME_WE)
  add_test(NAME py_${name} COMMAND ${CMAKE_COMMAND} -E cat ${MY_SCRIPT})
endfunction()
"""
# The project asks for compilers, since Slicer's use file includes those of ITK and VTK and tries what compilers can;
# nothing of that is left here, so that it can be configured without any.
_WITHOUT_COMPILERS = """
cmake_minimum_required(VERSION 3.16.3...3.28.0)
project(WithoutCompilers LANGUAGES NONE)
macro(project)
  _project(${ARGV} LANGUAGES NONE)
endmacro()
add_subdirectory("@ROOT@" extension)
"""
_CONFIG = f"""
set(Slicer_USE_FILE ${{CMAKE_CURRENT_LIST_DIR}}/UseSlicer.cmake)
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR {_MODULES})
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR {_MODULES})
set(Slicer_EXTENSION_GENERATE_CONFIG ${{CMAKE_CURRENT_LIST_DIR}}/Nothing.cmake)
set(Slicer_EXTENSION_CPACK ${{CMAKE_CURRENT_LIST_DIR}}/Nothing.cmake)
enable_testing()
"""


def _tracked(*patterns: str) -> list[Path]:
    """Files of the checkout that git knows or would take up."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [ROOT / line for line in lines if (ROOT / line).is_file()]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build folder, configured against the reduced macros."""
    cmake = shutil.which("cmake", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if cmake is None:
        pytest.skip("needs CMake; pip install cmake")
    folder = tmp_path_factory.mktemp("cmake")
    slicer_folder = folder / "slicer"
    slicer_folder.mkdir()
    (slicer_folder / "SlicerConfig.cmake").write_text(_CONFIG)
    (slicer_folder / "UseSlicer.cmake").write_text(_MACROS)
    (slicer_folder / "Nothing.cmake").touch()
    (folder / "CMakeLists.txt").write_text(_WITHOUT_COMPILERS.replace("@ROOT@", ROOT.as_posix()))
    configure = ["-S", folder, "-B", folder / "build", f"-DSlicer_DIR={slicer_folder}", "-DBUILD_TESTING=ON"]
    done = subprocess.run([cmake, *configure, "-Wno-dev"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    install = ["--install", folder / "build", "--prefix", folder / "installed"]
    subprocess.run([cmake, *install], check=True, capture_output=True)
    return folder


@pytest.fixture
def installed(build: Path) -> Path:
    return build / "installed" / _MODULES


def test_every_file_of_the_module_and_the_library_is_installed(installed: Path) -> None:
    module = [path.relative_to(ROOT / "LMIDiffusion") for path in _tracked("LMIDiffusion")]
    library = [path.relative_to(ROOT) for path in _tracked("LMIDiffusionLib")]
    needless = {"CMakeLists.txt", ".gitkeep", "py.typed"}
    expected = {path for path in [*module, *library] if path.name not in needless and "Screenshots" not in path.parts}
    found = {path.relative_to(installed) for path in installed.rglob("*") if path.is_file()}
    assert expected <= found
    assert {path for path in found - expected if "__pycache__" not in path.parts} == set()


def test_the_installed_tree_alone_can_be_imported_and_run(installed: Path, tmp_path: Path) -> None:
    """Neither the checkout nor an installed package of the library is on the path."""
    script = f"""
import sys
sys.path = [each for each in sys.path if {str(ROOT)!r} not in each or "site-packages" in each]
sys.meta_path = [each for each in sys.meta_path if "editable" not in repr(each).lower()]
sys.path[:0] = [{str(ROOT / "Testing" / "SlicerHost")!r}]
import host
host.start()
module = host.loadModule({str(installed / "LMIDiffusion.py")!r})
import LMIDiffusionSlicer
import LMIDiffusionSlicer.Base.Paths as library
from LMIDiffusionSlicer.Base import Checkpoints
Checkpoints.known_checkpoints()
print(LMIDiffusionSlicer.LIBRARY_FOLDER, sys.modules["LMIDiffusionLib"].__file__)
import subprocess
command = [library.pythonCommand(), "-m", "LMIDiffusionLib", "translate", "--help"]
environment = library.workerEnvironment()
print(subprocess.run(command, env=environment, cwd={str(tmp_path)!r}, capture_output=True, text=True).stdout)
code = "import LMIDiffusionLib.jobs.translation_job as job; print(job.__file__)"
command[1:] = ["-c", code]
print(subprocess.run(command, env=environment, cwd={str(tmp_path)!r}, capture_output=True, text=True).stdout)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    folder, package = done.stdout.splitlines()[0].split(" ")
    assert folder == str(installed)
    assert package == str(installed / "LMIDiffusionLib" / "__init__.py")
    assert "--segmentation" in done.stdout
    assert str(installed / "LMIDiffusionLib" / "jobs" / "translation_job.py") in done.stdout


@pytest.mark.parametrize("is_imported", [False, True])
def test_another_copy_of_the_library_is_passed_over_or_refused(
    is_imported: bool, installed: Path, tmp_path: Path
) -> None:
    """A copy first on the path is passed over; one that has been imported already is refused with advice."""
    foreign = tmp_path / "LMIDiffusionLib"
    foreign.mkdir()
    (foreign / "__init__.py").touch()
    script = f"""
import sys
sys.path[:0] = [{str(tmp_path)!r}, {str(installed)!r}]
{"import LMIDiffusionLib" if is_imported else ""}
import LMIDiffusionSlicer
LMIDiffusionSlicer.preferOwnLibrary()
import LMIDiffusionLib
print(LMIDiffusionLib.__file__)
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path.parent, capture_output=True, text=True, check=False)
    if is_imported:
        assert "another copy of LMIDiffusionLib" in done.stderr and str(foreign) in done.stderr
        assert "Uninstall" in done.stderr and done.returncode != 0
    else:
        assert done.stdout.strip() == str(installed / "LMIDiffusionLib" / "__init__.py"), done.stderr


def test_the_self_test_is_registered_with_ctest(build: Path) -> None:
    registered = (build / "build" / "extension" / "Testing" / "CTestTestfile.cmake").read_text()
    assert "py_LMIDiffusion" in registered
    assert str(ROOT / "LMIDiffusion" / "LMIDiffusion.py") in registered


def test_the_metadata_are_what_the_extensions_index_checks() -> None:
    text = (ROOT / "CMakeLists.txt").read_text()
    assert re.search(r"^project\(LMIDiffusion\)$", text, re.MULTILINE)
    for name in ("HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS"):
        assert re.search(rf'^set\(EXTENSION_{name} "[^"]+"\)$', text, re.MULTILINE), name
    entry = json.loads((ROOT / "LMIDiffusion.json").read_text())
    allowed = {"$schema", "category", "scm_url", "scm_revision", "scm_type", "build_dependencies"}
    assert {"$schema", "category", "scm_url"} <= set(entry) <= allowed | {"build_subdirectory", "enabled", "tier"}
    assert entry["category"] == "Image Synthesis"
    assert entry["scm_url"].rsplit("/", 1)[1].startswith("Slicer")
    assert (ROOT / "LICENSE").is_file()


@pytest.mark.parametrize("url", ["ICONURL", "SCREENSHOTURLS"])
def test_pictures_that_the_metadata_name_are_there(url: str) -> None:
    text = (ROOT / "CMakeLists.txt").read_text()
    for address in re.search(rf'EXTENSION_{url} "([^"]+)"', text).group(1).split():
        assert (ROOT / address.split("/main/", 1)[1]).is_file(), address


def test_requirements_are_what_translating_imports() -> None:
    """In a fresh Python, as the worker does; PyTorch comes from its own extension, and brings packages of its own."""
    code = """
import sys
import LMIDiffusionLib.jobs.translation_job, LMIDiffusionLib.jobs.reporting, LMIDiffusionLib.cli
print(*(module.__file__ for name, module in sys.modules.items() if name.startswith("LMIDiffusionLib")))
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    files, loaded = (set(line.split()) for line in done.stdout.splitlines())
    imported = {package for file in files for package in _imported_packages(Path(file))}
    lines = (ROOT / "LMIDiffusion" / "Resources" / "requirements.txt").read_text().splitlines()
    required = {re.match(r"[\w-]+", line).group() for line in lines if line and not line.startswith("#")}
    assert imported - sys.stdlib_module_names == required | {"torch"}
    assert loaded.isdisjoint({"lightning", "sklearn", "torchmetrics", "SimpleITK"})


def _imported_packages(file: Path) -> set[str]:
    """Packages that a module imports as it is loaded, other than its own."""
    statements = ast.parse(file.read_text()).body
    names = [alias.name for each in statements if isinstance(each, ast.Import) for alias in each.names]
    names += [each.module for each in statements if isinstance(each, ast.ImportFrom) and each.level == 0]
    return {name.partition(".")[0] for name in names}


def test_requirements_agree_with_the_librarys_own() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    for line in (ROOT / "LMIDiffusion" / "Resources" / "requirements.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            assert f'"{line}"' in project
    sys.path.insert(0, str(ROOT / "LMIDiffusion"))
    torch = re.search(
        r'^TORCH = "(.+)"$', (ROOT / "LMIDiffusion/LMIDiffusionSlicer/Base/Dependencies.py").read_text(), re.M
    )
    assert f'"{torch.group(1)}"' in project


def test_pictures_of_the_module_are_small() -> None:
    pictures = list((ROOT / "LMIDiffusion" / "Resources" / "Icons").glob("*.png"))
    assert len(pictures) == 4
    for path in pictures:
        assert path.stat().st_size < 30_000


def test_files_of_the_module_hold_definitions_and_constants_alone() -> None:
    """What runs at import runs at every start of Slicer, whether or not anybody opens the module."""
    harmless = ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign | ast.FunctionDef | ast.ClassDef
    for path in [path for path in _tracked("LMIDiffusion") if path.suffix == ".py"]:
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            is_script = isinstance(statement, ast.If) and "__main__" in ast.unparse(statement.test)
            assert isinstance(statement, harmless) or is_text or is_script, f"{path}:{statement.lineno}"


def test_every_fault_of_the_mutation_tool_can_be_put_in() -> None:
    sys.path.insert(0, str(ROOT / "tools"))
    import mutate_module

    package = ROOT / "LMIDiffusion" / "LMIDiffusionSlicer"
    for fault in mutate_module.FAULTS_OF_MODULE:
        assert (package / fault.file).read_text(encoding="utf-8").count(fault.before) == 1, fault.name
        for tests in fault.tests:
            assert (ROOT / "Testing" / "Module" / tests.partition("::")[0]).is_file()
