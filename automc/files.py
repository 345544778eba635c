"""Where user data lives, and how files are written: whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import platformdirs
import yaml

from automc.errors import AutoMCError, ConfigError, lacking, nearest

if TYPE_CHECKING:
    from pydantic import BaseModel

    Model = TypeVar("Model", bound=BaseModel)

try:
    from yaml import CSafeDumper as _Dumper
    from yaml import CSafeLoader as _Loader
except ImportError:  # a PyYAML built without libyaml
    # other classes with the same methods, which the checker takes for a wrong type
    from yaml import SafeDumper as _Dumper  # type: ignore[assignment]  # the same in Python
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]


_LONG_NUMBER = re.compile(r"[-+]?[0-9][-+0-9_:.a-fA-FxX]{300,}")
_DEEPEST = 100
_MOST = 500_000  # keys and values of a YAML file: loading so many takes 4 s; an operator of a table is ten


def home() -> Path:
    """Returns the folder of tables and caches: ``AUTOMC_HOME``, or the platform's user directory."""
    return Path(os.environ.get("AUTOMC_HOME") or platformdirs.user_data_dir("automc", appauthor=False))


@contextmanager
def replacing(path: Path, private: bool = False) -> Iterator[Path]:
    """Yields a temporary path beside ``path`` and renames it over ``path`` on success; removes it otherwise.

    Args:
        path: the file.
        private: whether only its owner may read it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        if not private:  # mkstemp makes private files; what we hand out should be readable like any other
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        if lacking(error) is None:
            raise
        raise ConfigError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, private: bool = False) -> None:
    """Writes ``text`` to ``path`` whole or not at all; ``private``: see `replacing`."""
    with replacing(path, private) as temporary:
        temporary.write_text(text, encoding="utf-8")


def ensure_writable(folder: Path) -> None:
    """Makes ``folder`` and raises `ConfigError` now, not after hours of work, when it cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(f"cannot write to {folder}: {error.strerror or error}") from error


def digest(path: Path) -> str:
    """Returns the SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def dump_yaml(data: Any) -> str:
    """Returns ``data`` as YAML in the order given, innermost collections on one line each."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=2**16, allow_unicode=True)


def read_yaml(path: Path, model: type[Model], error: type[AutoMCError], version: int | None = None) -> Model:
    """Reads a YAML file into a pydantic model.

    Args:
        path: the file.
        model: the model it must match.
        error: what to raise.
        version: the newest ``version:`` this program can read, where the file has one.

    Raises:
        AutoMCError: of the class ``error``, in one line, when the file is missing, is no YAML, is of a newer
            version or does not match; a misspelt key is named with the nearest known one.
    """
    what = f"{path}"
    try:
        text = path.read_text(encoding="utf-8")
        if excess := _excess(text):
            raise error(f"{what}: {excess}")
        data = yaml.load(text, Loader=_Loader)
    except FileNotFoundError:
        raise error(f"{what}: no such file") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise error(f"{what}: cannot be read ({problem})") from None
    except (ValueError, OverflowError) as problem:  # a thirteenth month, sixties beyond all floats
        raise error(f"{what}: not valid YAML ({str(problem)[:80]})") from None
    except yaml.YAMLError as problem:
        # where an unclosed bracket or quote was opened helps more than where its end was missed
        mark = getattr(problem, "context_mark", None) or getattr(problem, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise error(f"{what}: not valid YAML{where}; the file is damaged or was edited by hand") from None
    if not isinstance(data, dict):
        raise error(f"{what}: expected keys and values, found {type(data).__name__}")
    if version is not None:
        found = data.get("version")
        if isinstance(found, int) and found > version:
            raise error(f"{what}: version {found} is newer than this AutoMC reads ({version}); upgrade automc")
    return parse(data, model, error, what)


def _excess(text: str) -> str | None:
    """Says what of YAML would take too long or too much to load, or be lost; None where nothing would.

    Deep nesting exhausts the stack, which ends the process. What an alias stands for counts each time: a line can
    merge (``<<``) the line before twice, and thirty lines are a thousand million. Of a key that is there twice, one
    value would be lost without a word.
    """
    nodes, sizes = 0, dict[str | None, int]()
    begun: list[tuple[str | None, int]] = []
    inside: list[list[str | None] | None] = []  # of each mapping that has begun its nodes so far, text where there is
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in begun):
                return "a part of it contains itself"
            nodes += sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.NodeEvent):
            nodes += 1
        if isinstance(event, yaml.ScalarEvent) and event.implicit[0] and _LONG_NUMBER.fullmatch(event.value):
            return "it has a number of hundreds of digits"  # 1:59:59… in base 60 takes the square of its length
        if isinstance(event, yaml.NodeEvent) and inside and (siblings := inside[-1]) is not None:
            siblings.append(event.value if isinstance(event, yaml.ScalarEvent) else None)
        if isinstance(event, yaml.CollectionStartEvent):
            begun.append((event.anchor, nodes))
            inside.append([] if isinstance(event, yaml.MappingStartEvent) else None)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = begun.pop()
            keys = [key for key in (inside.pop() or [])[::2] if key is not None]
            if len(set(keys)) < len(keys):
                twice = next(key for key in keys if keys.count(key) > 1)
                return f"key '{twice[:80]}' is there twice"
            if anchor is not None:
                sizes[anchor] = nodes - before + 1
        if len(begun) > _DEEPEST:
            return f"nested more than {_DEEPEST} deep; no file of ours is"
        if nodes > _MOST:
            return f"larger than {_MOST:,} entries; no file of ours is"
    return None


def parse(data: dict[str, Any], model: type[Model], error: type[AutoMCError], what: str) -> Model:
    """Validates ``data`` against a pydantic model; raises ``error`` with the first problem in one line."""
    from pydantic import ValidationError

    try:
        return model.model_validate(data)
    except ValidationError as problem:
        # a misspelt key also leaves another one missing: it is the one to name
        first = min(problem.errors(), key=lambda one: one["type"] != "extra_forbidden")
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            key = str(first["loc"][-1])
            known = _known_keys(model, first["loc"][:-1])
            raise error(f"{what}: unknown key '{where}'{nearest(key, known)}") from None
        if first["type"] == "missing":
            raise error(f"{what}: key '{where}' is missing") from None
        message = first["msg"].removeprefix("Value error, ")
        raise error(f"{what}: {where}: {message}" if where else f"{what}: {message}") from None


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    for part in location:
        field = model.model_fields.get(str(part))
        inner = getattr(field, "annotation", None)
        if isinstance(inner, type) and hasattr(inner, "model_fields"):
            model = inner
    return list(model.model_fields)
