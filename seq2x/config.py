"""Settings are data: frozen classes, read from TOML, checked, written back whole.

Knows nothing of the rest of the project. A mistake names the file, the key, what was found and the nearest
valid choice: ``ner.toml: encoder: unknown key 'layer'; did you mean 'layers'?``
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import pydantic
import tomli_w

from seq2x.errors import ConfigError, nearest

_ALTERNATIVE = re.compile(r"(literal|dict|list|tuple|union|function-\w+)\[.*\]|constrained-\w+|str|int|float|bool")
"""What pydantic calls an alternative of a union that is no class of settings, in the path of a problem."""


class Config(pydantic.BaseModel):
    """Base of every settings class: frozen, and an unknown key is an error."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    def model_post_init(self, context: Any) -> None:  # noqa: ARG002 - pydantic's signature
        """Count the kind as given, also where the class alone says it: :func:`given` must tell it."""
        if "kind" in type(self).model_fields:
            self.model_fields_set.add("kind")


C = TypeVar("C", bound=Config)


def kind_by_default(kind: str) -> pydantic.BeforeValidator:
    """Return what lets a table of a union, whose default has this kind, leave the kind out."""
    return pydantic.BeforeValidator(
        lambda settings: {"kind": kind, **settings} if isinstance(settings, Mapping) else settings)


def read(kind: type[C], path: str | Path, overrides: Sequence[str] = ()) -> C:
    """Read a TOML file into ``kind``; each override is ``key.sub=value``, its value parsed as TOML."""
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a directory; a TOML file was expected") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not valid UTF-8 at byte {error.start}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    return parse(kind, data, str(path), overrides)


def parse(kind: type[C], data: Mapping[str, Any], source: str, overrides: Sequence[str] = ()) -> C:
    """Check ``data`` (as TOML gives it) against ``kind``; ``source`` names its origin in messages."""
    merged = _copy(data)
    for override in overrides:
        _override(merged, override)
    try:
        return kind.model_validate(merged)
    except pydantic.ValidationError as error:
        problems = error.errors()
        messages = [_explain(kind, problem) for problem in problems if not _says_less(kind, problem, problems)]
        raise ConfigError("\n".join(f"{source}: {message}" for message in dict.fromkeys(messages))) from None


def dump(config: Config) -> str:
    """Return TOML with every setting, defaults filled in; ``None`` is left out, as TOML has no word for it."""
    return tomli_w.dumps(config.model_dump(mode="json", by_alias=True, exclude_none=True))


def given(config: Config) -> dict[str, Any]:
    """Return the settings that were given, as TOML has them, without the defaults that were filled in."""
    return config.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)


def laid_over(older: Mapping[str, Any], newer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of ``newer``, then those of ``older``; a table of another kind takes nothing over."""
    if "kind" in newer and newer["kind"] != older.get("kind"):
        return dict(newer)
    merged = dict(older)
    for key, value in newer.items():
        below = merged.get(key)
        merged[key] = laid_over(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return merged


def flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one table with keys such as ``encoder.hidden``."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def _copy(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in data.items()}


def _override(data: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    path = [part.strip() for part in key.split(".")]
    if not equals or not all(path):
        raise ConfigError(f"--set {override}: expected KEY=VALUE, such as training.seed=2")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()  # a bare word is a string: --set encoder.cell=gru
    for part in path[:-1]:
        data = data.setdefault(part, {})
        if not isinstance(data, dict):
            raise ConfigError(f"--set {override}: {part!r} is a value, not a table")
    data[path[-1]] = parsed


def _explain(kind: type[Config], problem: Any) -> str:
    """One problem of pydantic's, in our words: table, key, found, expected, nearest choice."""
    table, key = list(problem["loc"][:-1]), problem["loc"][-1] if problem["loc"] else ""
    owner, names = _owner(kind, table)
    where = ".".join(names)
    at = f"{where}: " if where else ""
    if problem["type"] == "extra_forbidden":
        return f"{at}unknown key {key!r}{nearest(str(key), owner)}"
    if problem["type"] == "missing":
        return f"{at}the key {key!r} is missing"
    full = ".".join(_follow(kind, problem["loc"])[1])
    if problem["type"] in ("union_tag_invalid", "union_tag_not_found"):
        choices = _kinds(kind, problem["loc"])
        if problem["type"] == "union_tag_not_found":
            return f"{full}: the key 'kind' is missing{nearest('', choices)}"
        return f"{full}: unknown kind {problem['ctx']['tag']!r}{nearest(problem['ctx']['tag'], choices)}"
    if problem["type"] == "literal_error":
        choices = [choice.strip(" '") for choice in problem["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return f"{full}: found {problem['input']!r}{nearest(str(problem['input']), choices)}"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{full}: {message}" if full else message
    return f"{full}: found {problem['input']!r}: {message}"


def _says_less(kind: type[Config], problem: Any, problems: Sequence[Any]) -> bool:
    """Whether, of the alternatives of a setting, another one's problem says what is wrong.

    Of a word that is the list of the words that there are; of a table or a number it is not.
    """
    path = _follow(kind, problem["loc"])[1]
    for other in problems:
        at = _follow(kind, other["loc"])[1]
        listed = other["type"] == "literal_error" and isinstance(other["input"], str)
        if other is not problem and listed and at == path and problem["type"] != "literal_error":
            return True
        idle = problem["type"] == "literal_error" and not isinstance(problem["input"], str)
        if idle and other["type"] != "literal_error" and at[: len(path)] == path:
            return True
    return False


def _owner(kind: Any, table: Sequence[Any]) -> tuple[list[str], list[str]]:
    """Return the valid keys of ``table`` and its path without union tags."""
    candidates, names = _follow(kind, table)
    valid = [field.alias or name for candidate in candidates
             for name, field in getattr(candidate, "model_fields", {}).items()]
    return list(dict.fromkeys(valid)), names


def _kinds(kind: Any, table: Sequence[Any]) -> list[str]:
    """Return the kinds that the union at ``table`` knows."""
    return [str(_tag(candidate)) for candidate in _follow(kind, table)[0]]


def _follow(kind: Any, table: Sequence[Any]) -> tuple[list[Any], list[str]]:
    """Follow ``table``, as pydantic writes it, through the classes; return those there and the path in the file."""
    names: list[str] = []
    candidates = [kind]
    for part in table:
        members = [member for candidate in candidates for member in _members(candidate)]
        tagged = [member for member in members if _tag(member) == part]
        fields = [member.model_fields[part].annotation for member in members
                  if isinstance(member, type) and issubclass(member, Config) and part in member.model_fields]
        if tagged and not fields:
            candidates = tagged
            continue
        mappings = [get_args(member)[1] for member in members if get_origin(member) is dict]
        if not fields and isinstance(part, str) and _ALTERNATIVE.fullmatch(part) and ("[" in part or not mappings):
            continue
        names.append(str(part))
        candidates = fields or mappings
    return [member for candidate in candidates for member in _members(candidate)], names


def _members(annotation: Any) -> Iterable[Any]:
    """The alternatives of a union, however wrapped."""
    if get_origin(annotation) is dict or (isinstance(annotation, type) and issubclass(annotation, Config)):
        return [annotation]
    if get_origin(annotation) is Literal:  # whose arguments are values
        return []
    return [member for argument in get_args(annotation) for member in _members(argument)]


def _tag(kind: Any) -> Any:
    field = getattr(kind, "model_fields", {}).get("kind")
    return None if field is None else field.default
