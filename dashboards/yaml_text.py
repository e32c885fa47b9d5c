"""YAML for the generated files: keys in insertion order, multi-line texts as blocks, a note at the top."""

from __future__ import annotations

import yaml

__all__ = ["to_yaml"]

NOTE = "# Written by `python -m dashboards`; change dashboards/*.py, not this file.\n"


class _Dumper(yaml.SafeDumper):
    """Writes multi-line strings as blocks, and no anchors."""

    def ignore_aliases(self, data: object) -> bool:  # the base class asks for each value whether it may become an anchor
        return True


def _string(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _string)


def to_yaml(data: object) -> str:
    """Returns ``data`` as a YAML document, after a note that says how the file is generated."""
    return NOTE + yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
