"""YAML as the generated files have it: in the order of the program, long expressions as blocks, a note at the top."""

from __future__ import annotations

import yaml

__all__ = ["text"]

NOTE = "# Written by `python -m dashboards`; change dashboards/*.py, not this file.\n"


class _Dumper(yaml.SafeDumper):
    """Writes what has line breaks as a block, and no anchors."""

    def ignore_aliases(self, data: object) -> bool:  # the base class asks about each value
        return True


def _string(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _string)


def text(data: object) -> str:
    """``data`` as a YAML document."""
    return NOTE + yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
