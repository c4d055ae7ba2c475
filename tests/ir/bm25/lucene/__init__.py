"""Lucene's own tokens, from a jar that holds Lucene: how the stored files were made, and can be made again.

    pip download --no-deps --no-binary :all: pyserini==1.6.0 && tar xzf pyserini-1.6.0.tar.gz
    python -m tests.ir.bm25.lucene.make pyserini-1.6.0/pyserini/resources/jars/anserini-1.7.1-fatjar.jar

Lucene is 9.9.1 there; its class files run on Java 11 or later, and Debian's openjdk-17-jdk-headless has what compiles
`LuceneEnglish.java`. Anserini's own analyzer needs Java 21; its default is this very chain: StandardTokenizer,
EnglishPossessiveFilter, LowerCaseFilter, StopFilter with EnglishAnalyzer's words, PorterStemFilter.
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

SOURCE = Path(__file__).with_name("LuceneEnglish.java")


def tokens(jar: Path, analysis: Literal["standard", "english"], texts: Sequence[str]) -> list[list[str]]:
    """Each text's tokens by Lucene, from one run of Java."""
    lines = "".join(text.encode("utf-16-be", "surrogatepass").hex() + "\n" for text in texts)
    done = subprocess.run(
        ["java", "-cp", os.fspath(jar), os.fspath(SOURCE), analysis],
        input=lines,
        capture_output=True,
        text=True,
        check=True,
    )
    found = [
        [bytes.fromhex(token).decode("utf-16-be", "surrogatepass") for token in line.split()]
        for line in done.stdout.split("\n")[:-1]
    ]
    assert len(found) == len(texts), (len(found), len(texts), done.stderr)
    return found
