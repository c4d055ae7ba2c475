"""Writes what is stored of Lucene: its character classes, and its tokens of the tricky texts."""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.ir.bm25.lucene import tokens
from tests.ir.bm25.lucene.texts import TEXTS

CLASSES = Path(__file__).resolve().parents[4] / "interank" / "ir" / "bm25" / "lucene_characters.json"
GOLDENS = Path(__file__).with_name("goldens.jsonl")

CODE_POINTS = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]


def classes(jar: Path) -> dict[str, list[int]]:
    """The classes of characters that Lucene's StandardTokenizer tells apart, read off what it does with each.

    They are Unicode 12.1's, so no library's present tables would do. A probe has the character at {}; what is asked is
    whether the whole probe becomes one token.
    """

    def joined(probe: str, among: Iterable[int] = CODE_POINTS) -> set[int]:
        codes = list(among)
        texts = [probe.replace("{}", chr(code)) for code in codes]
        found = tokens(jar, "standard", texts)
        return {code for code, text, got in zip(codes, texts, found, strict=True) if got == [text]}

    alone = joined("{}")
    in_word, in_kana = joined("a{}b"), joined("\u30ab{}\u30ab")
    # Extend, Format and zero width joiner: they go with whatever stands before them.
    extend = joined("a.{}b", in_word) & in_kana
    letter = joined("a.{}.b")
    emoji = joined("\u200d{}")
    modifier = set(range(0x1F3FB, 0x1F400))
    south_east = (joined("\u0e01{}\u0e01") - extend) | (extend & alone)
    numeric = joined("1,{},2")
    katakana = joined("\u30ab{}") - joined("a{}")
    flags = joined("\U0001f1e6{}") - extend
    return {
        name: sorted(codes)
        for name, codes in {
            "letter": letter,
            "hebrew": joined('{}"\u05d0', letter),
            "numeric": numeric,
            "katakana": katakana,
            "connector": (in_word & in_kana) - extend,
            "mid_letter": in_word - joined("a{}"),
            "mid_number": joined("1{}2") - joined("1{}"),
            "extend": extend,
            "south_east": south_east,
            "single": alone - letter - numeric - katakana - south_east - emoji - modifier,
            "flag": flags,
            "emoji": emoji,
        }.items()
    }


def ranges(codes: list[int]) -> str:
    """Code points as runs in hexadecimal: `30-39 41-5A 5F`."""
    runs: list[list[int]] = []
    for code in codes:
        if runs and code == runs[-1][1] + 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return " ".join(f"{first:X}" if first == last else f"{first:X}-{last:X}" for first, last in runs)


def main(jar: Path, steps: dict[str, Callable[[Path], None]]) -> None:
    for name, step in steps.items():
        print(name)
        step(jar)


def write_classes(jar: Path) -> None:
    found = {name: ranges(codes) for name, codes in classes(jar).items()}
    CLASSES.write_text(json.dumps(found, indent=1) + "\n", "ascii")


def write_goldens(jar: Path) -> None:
    rows = [{"text": text, "tokens": found} for text, found in zip(TEXTS, tokens(jar, "english", TEXTS), strict=True)]
    GOLDENS.write_text("".join(json.dumps(row) + "\n" for row in rows), "ascii")


if __name__ == "__main__":
    main(Path(sys.argv[1]), {"characters": write_classes, "goldens": write_goldens})
