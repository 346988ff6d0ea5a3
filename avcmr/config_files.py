"""Settings from YAML files, presets and ``key=value`` overrides, and their differences."""

import difflib
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from avcmr.config import STAGES, Config
from preprocessing.errors import NotFoundError, UsageError

_STAGE_SECTIONS = ("stage1", "stage2")


def load_config(path: Path | None = None, overrides: Iterable[str] = ()) -> Config:
    """Defaults, then the YAML file, then ``key=value`` overrides (``stage1.margin=0.3``).

    ``path`` is a YAML file, the folder of a run, or the bare name of a preset (``ave``).

    Raises:
        AvcmrError: no such file, not YAML, or settings that are unknown or out of range; all
            errors are listed at once, with the nearest known key.
    """
    settings = {} if path is None else _read_yaml(_config_file(path))
    faults = []
    # Another mining first: it replaces settings of the file's, never one that is given with it.
    for override in sorted(overrides, key=lambda override: ".mining=" not in override):
        try:
            _set(settings, override)
        except UsageError as error:
            faults.append(str(error))
    try:
        config = Config.model_validate(settings)
    except ValidationError as error:
        faults += [_explain(fault) for fault in error.errors()]
    if faults:
        raise UsageError(f"{path or 'settings'}: {'; '.join(faults)}")
    return config


def preset(name: str) -> Path:
    """``configs/NAME.yaml``: in a checkout beside the package, once installed inside it.

    Raises:
        NotFoundError: there is none of this name.
    """
    known = presets()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise NotFoundError(f"there is no preset {name}; {hint}there are: {', '.join(known)}")
    return known[name]


def presets() -> dict[str, Path]:
    """Name → file of the presets that come with avcmr."""
    package = Path(__file__).parent
    folders = [package.parent / "configs", package / "configs"]
    return {file.stem: file for folder in folders for file in sorted(folder.glob("*.yaml"))}


def _config_file(path: Path) -> Path:
    """A file is itself, a run's folder its ``config.yaml``, and a bare name a preset."""
    if (path / "config.yaml").is_file():
        return path / "config.yaml"
    is_bare = not path.suffix and path.name == str(path)
    return preset(path.name) if is_bare and not path.is_file() else path


def differences(old: Config, new: Config) -> list[str]:
    """The settings in which two runs differ, such as ``stage1.margin: 0.2 → 0.3``."""
    before, after = _flatten(old.model_dump(mode="json")), _flatten(new.model_dump(mode="json"))
    return [
        f"{key}: {before.get(key, '–')} → {after.get(key, '–')}"
        for key in before | after
        if before.get(key, "–") != after.get(key, "–")
    ]


class _Loader(yaml.SafeLoader):
    """Plain YAML without duplicate keys, of which PyYAML would take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.YAMLError(f"line {line} has a list or a section where a key should be")
            if key.value in seen:
                raise yaml.YAMLError(f"line {line} gives {key.value} a second time")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _parse(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        yaml.YAMLError: it is not YAML, or has an invalid date or number.
    """
    try:
        return yaml.load(text, _Loader)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise yaml.YAMLError(str(error)) from None  # PyYAML lets these through


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        settings = _parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NotFoundError(f"{path}: cannot read the config file ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{path}: not a YAML file ({reason})") from None
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise UsageError(f"{path}: expected 'key: value' lines, found a {type(settings).__name__}")
    return settings


def _set(settings: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise UsageError(
            f"{override!r}: settings are given as key=value, such as stage1.margin=0.3"
        )
    *sections, last = key.split(".")
    for section in sections:
        inner = settings.setdefault(section, {})
        if not isinstance(inner, dict):
            raise UsageError(f"{override!r}: {section} is a value, not a section")
        settings = inner
    settings[last] = _yaml_scalar(value)
    if last == "mining":
        for key in _of_other_minings(str(settings[last])):
            settings.pop(key, None)


def _of_other_minings(mining: str) -> set[str]:
    """The settings that only stages of another mining have; none if this one is unknown."""
    known = {name: set(stage.model_fields) for name, stage in STAGES.items()}
    return set().union(*known.values()) - known[mining] if mining in known else set()


def _yaml_scalar(text: str) -> Any:
    try:
        value = _parse(text)
    except yaml.YAMLError:
        return text
    if isinstance(value, str):
        # YAML 1.1 reads 1e-4 as a string, which nobody who types a learning rate expects.
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _explain(fault: Mapping[str, Any]) -> str:
    section, *inner = map(str, fault["loc"])
    mining = inner.pop(0) if inner and section in _STAGE_SECTIONS else ""
    key = ".".join([section, *inner])
    if fault["type"] == "extra_forbidden":
        return _explain_unknown(key, mining)
    if fault["type"] in {"model_type", "model_attributes_type"}:
        example = _keys_of(f"{key}.")[0]
        return f"{key} is a section, of settings such as {example} (given: {fault['input']!r})"
    if fault["type"] == "union_tag_invalid":
        known, given = ", ".join(STAGES), fault["input"]["mining"]
        return f"{key}.mining: Input should be one of {known} (given: {given!r})"
    reason = fault["msg"].removeprefix("Value error, ")
    given = "" if isinstance(fault["input"], Mapping) else f" (given: {fault['input']!r})"
    return f"{key}: {reason}{given}"


def _explain_unknown(key: str, mining: str) -> str:
    """``mining``: of the stage that the key is in; empty elsewhere."""
    name = key.rpartition(".")[2]
    owners = [other for other, stage in STAGES.items() if name in stage.model_fields]
    if mining and owners:
        return f"{key}: {mining} has no {name}; it belongs to {', '.join(owners)}"
    near = _nearest(key)
    return f"unknown key {key}{near and f'; did you mean {near}?'}"


def _nearest(key: str) -> str:
    """Suggestions: keys of the same name in other sections, or else the most similar key."""
    keys = _keys_of()
    name = key.rpartition(".")[2]
    sections = [one for one in Config.model_fields if one not in keys]
    near = [one for one in keys if one.rpartition(".")[2] == name]
    return " or ".join(near or difflib.get_close_matches(key, [*keys, *sections], n=1, cutoff=0.5))


def _keys_of(section: str = "") -> list[str]:
    """All settings, such as ``stage1.margin``; or those of a section."""
    keys = list(_flatten(Config().model_dump()))
    for section_of_stage in _STAGE_SECTIONS:
        for stage in STAGES.values():
            keys += [f"{section_of_stage}.{key}" for key in stage.model_fields]
    return [key for key in dict.fromkeys(keys) if key.startswith(section)]


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
