"""Drawings bring no style of their own, share no names, and are the same each time."""

from __future__ import annotations

import re

from lxml import etree

from interank.plots import comma_separated, ink, new_axes, rendered, series_colour


def drawn(name: str = "one") -> str:
    axes = new_axes()
    axes.plot([0, 1, 2], [3, 1, 2], color=series_colour(1), marker="o")
    axes.fill_between([0, 1], [1, 2], color=ink("gain"))
    axes.set_xlabel("a $b$ <c> & d")
    return rendered(axes, name)


def test_a_drawing_passes_a_policy_that_forbids_style() -> None:
    svg = drawn()
    root = etree.fromstring(svg)
    assert not [element.tag for element in root.iter() if "style" in element.attrib or "style" in element.tag]
    assert "font-family" not in svg and "script" not in svg
    assert not root.xpath("//*[contains(@href, ':')]")


def test_colours_are_the_page_s_variables() -> None:
    svg = drawn()
    assert {"var(--series-1)", "var(--gain)", "var(--rule)", "var(--muted)"} <= set(re.findall(r"var\(--[\w-]+\)", svg))
    assert "#fe0" not in svg


def test_text_is_text_and_no_formula() -> None:
    assert "a $b$ <c> & d" in etree.fromstring(drawn()).xpath("//*[local-name()='text']/text()")


def test_two_drawings_share_no_name_and_refer_to_their_own() -> None:
    ids = []
    for name in ("one", "two"):
        root = etree.fromstring(drawn(name))
        ids.append(set(root.xpath("//@id")))
        links = {link.lstrip("#") for link in root.xpath("//@href")}
        clips = {re.sub(r"url\(#(.*)\)", r"\1", clip) for clip in root.xpath("//@clip-path")}
        assert links and clips and links | clips == ids[-1]
    assert not ids[0] & ids[1]


def test_the_same_drawing_is_the_same_text() -> None:
    assert drawn() == drawn()


def test_a_size_is_kept_for_the_page_to_scale() -> None:
    assert 'viewBox="0 0 90 20"' in rendered(new_axes(90, 20, bare=True), "strip")


def test_figures_as_comma_separated_values() -> None:
    rows = [["step", 'a "name", so'], [1, 0.123456789], [2, None]]
    assert comma_separated(rows) == 'step,"a ""name"", so"\n1,0.123457\n2,\n'
