"""Reads recipes' YAML: numbers are decimal, dates are words, keys are unique, and aliases cannot blow it up."""

from __future__ import annotations

import re
from typing import Any

import yaml

from interank.wording import counted

# The most keys and values of a recipe, aliases expanded; the longest recipe has about a hundred.
_MOST_VALUES = 20_000
_MOST_DEPTH = 50
_MOST_DIGITS = 18


class _Loader(yaml.SafeLoader):
    """YAML 1.2's bare words: `1:30` and `2024-01-01` are texts, `010` is decimal, `1e-4` is a number."""


_INTEGER, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_DROPPED = frozenset({_INTEGER, _FLOAT, "tag:yaml.org,2002:timestamp"})
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in patterns if tag not in _DROPPED]
    for first, patterns in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_DIGITS = list("-+0123456789.")
_Loader.add_implicit_resolver(_INTEGER, re.compile(r"[-+]?[0-9]+(?:_[0-9]+)*\Z"), _DIGITS)
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?\Z|[-+]?[0-9]+[eE][-+]?[0-9]+\Z"
        r"|[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z"
    ),
    _DIGITS,
)


def read_yaml(text: str) -> Any:
    """Parse the text.

    Raises:
        ValueError: It is not YAML, repeats a key, has an ambiguous number, or grows too large by its aliases.
    """
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node, {}, 0)
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ValueError(f"not readable as YAML: {' '.join(str(error).split())[:400]}") from None
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    finally:
        if loader is not None:
            loader.dispose()


_TOO_DEEP = f"nested deeper than {_MOST_DEPTH} levels, the most that is read; write it flat"


def _check(node: yaml.Node, sizes: dict[int, int], depth: int) -> int:
    """Check a node and count its values, aliases expanded.

    Raises:
        ValueError: As `read_yaml`.
    """
    if depth > _MOST_DEPTH:
        raise ValueError(_TOO_DEEP)
    if id(node) in sizes:
        if not sizes[id(node)]:
            raise ValueError(f"{_place(node)}an alias refers to a value that contains it; write the values out")
        return sizes[id(node)]
    sizes[id(node)] = 0
    if isinstance(node, yaml.MappingNode):
        _check_keys(node)
        parts = [part for pair in node.value for part in pair]
    else:
        parts = node.value if isinstance(node, yaml.SequenceNode) else []
    if isinstance(node, yaml.ScalarNode) and node.tag == _INTEGER:
        _check_integer(node)
    size = 1 + sum(_check(part, sizes, depth + 1) for part in parts)
    if size > _MOST_VALUES:
        raise ValueError(
            f"{_place(node)}with aliases expanded it has more than {_MOST_VALUES:,} values; write it without aliases"
        )
    sizes[id(node)] = size
    return size


def _check_keys(node: yaml.MappingNode) -> None:
    seen: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise ValueError(f"{_place(key)}a key is a list or a mapping, where a word is expected")
        line = key.start_mark.line + 1
        if key.value in seen and key.value != "<<":
            raise ValueError(
                f"the key {key.value[:60]!r} is set twice, in line {seen[key.value]} and in line {line}; leave one out"
            )
        seen[key.value] = line


def _check_integer(node: yaml.ScalarNode) -> None:
    digits = node.value.lstrip("+-")
    if len(digits) > _MOST_DIGITS:
        raise ValueError(
            f"{_place(node)}a number of {counted(len(digits), 'digit')}, where at most {_MOST_DIGITS} are read"
        )
    if len(digits) > 1 and digits.startswith("0"):
        raise ValueError(
            f"{_place(node)}{node.value} begins with 0, which some programs read as an octal number; write "
            f"{int(digits.replace('_', ''))}, or '{node.value}' in quotes for a name"
        )


def _place(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}: "
