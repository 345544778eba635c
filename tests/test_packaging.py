"""What a user gets from the built wheel is the whole package and nothing but the package."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINKS = ("envs", "agents", "latency_tables", "search_spaces")
JUNK = shutil.ignore_patterns("__pycache__", "*.pyc", ".*", "*.egg-info")


def _run(*command: str | Path, cwd: Path) -> str:
    """Runs a command and returns its output; a failure shows what the command said."""
    done = subprocess.run(command, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def version() -> str:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the build reads, so that the build leaves nothing in the working tree."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, copy)
    for name in ("automc", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=JUNK)
    for name in LINKS:
        (copy / name).symlink_to((ROOT / name).readlink())
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist (what `build` does when told neither --sdist nor --wheel)."""
    out = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source, cwd=out)
    assert len(list(out.glob("automc-*.tar.gz"))) == 1
    (built,) = out.glob("automc-*.whl")
    return built


@pytest.fixture(scope="module")
def listed(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    options = ("--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check")
    _run(sys.executable, "-m", "pip", "install", *options, "--target", target, wheel, cwd=target)
    return target


def test_wheel_holds_every_file_of_the_package(source: Path, listed: set[str]) -> None:
    expected = {p.relative_to(source).as_posix() for p in (source / "automc").rglob("*") if p.is_file()}
    assert any(name.startswith("automc/search_spaces/presets/") for name in expected)
    missing = sorted(expected - listed)
    assert not missing, f"not in the wheel (an __init__.py or a package-data line is missing?): {missing}"


def test_wheel_holds_nothing_beside_the_package(listed: set[str], version: str) -> None:
    assert {name.split("/")[0] for name in listed} == {"automc", f"automc-{version}.dist-info"}


@pytest.mark.parametrize("name", LINKS)
def test_root_link_leads_into_the_package(name: str) -> None:
    link = ROOT / name
    assert link.is_symlink()
    assert link.readlink() == Path("automc") / name
    assert (link / "__init__.py").is_file()


def test_installed_package_imports_on_its_own(installed: Path, version: str, tmp_path: Path) -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1]); import automc; "
    code += "print(automc.__file__, automc.__version__, sep='\\n')"
    said = _run(sys.executable, "-I", "-c", code, installed, cwd=tmp_path).splitlines()
    assert said == [str(installed / "automc" / "__init__.py"), version]
