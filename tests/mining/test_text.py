"""Bodies become text that keeps what a reader needs, whatever the HTML."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interank.mining import html_to_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("<p>Two\n   words</p>\n\n<p>and  &lt;more&gt; &amp; so</p>", "Two\nwords\n\nand <more> & so"),
        ("one<br>two", "one\ntwo"),
        ("<p><em>very</em> <strong>bold</strong></p>", "very bold"),
        ("<p>call <code>a_b(*c)</code></p>", "call `a_b(*c)`"),
        (
            "<p>x</p>\n\n<pre><code>def f(x):\n    return  x &lt; 1\n\n\n# end\n</code></pre>\n<p>y</p>",
            "x\n\n```\ndef f(x):\n    return  x < 1\n\n\n# end\n```\n\ny",
        ),
        ("<ul><li>one</li><li>two</li></ul>", "- one\n- two"),
        ('<ol start="3"><li>one</li><li>two</li></ol>', "3. one\n4. two"),
        ("<blockquote><p>said</p><p>so</p></blockquote>", "> said\n>\n> so"),
        ("<h2>Part</h2><p>x</p>", "## Part\n\nx"),
        ("<p>2<sup>10</sup> and CO<sub>2</sub></p>", "2^10 and CO_2"),
        (
            "<p>$a_1 * b_1 * \\{x\\}$ and $$\\sum_{i&lt;n} x_i$$</p>",
            "$a_1 * b_1 * \\{x\\}$ and $$\\sum_{i<n} x_i$$",
        ),
        ('<p>see <a href="https://a.org/b_c">this</a>.</p>', "see this (https://a.org/b_c)."),
        ('<a href="https://a.org/b">https://a.org/b</a>', "https://a.org/b"),
        ('<a href="/questions/3/t">that</a>', "that"),
        ('<a href="https://site.example.com/q/3/9">that</a>', "that"),
        ('<a href="http://[bad">that</a>', "that"),
        ('<a href="javascript:x()">that</a><a name="here"></a>', "that"),
        ('<img src="http://i.org/1.png" alt="a  cat">', "[image: a cat]"),
        ('<img src="http://i.org/1.png" alt="enter image description here"><img>', "[image][image]"),
        ("<p>a<!-- no --><script>no()</script><style>no{}</style></p>", "a"),
        ("<p>unclosed <b>bold<p>next</i>", "unclosed bold\n\nnext"),
        ("/etc/passwd", "/etc/passwd"),
        ("https://a.org", "https://a.org"),
    ],
)
def test_text_of(html: str, text: str) -> None:
    assert html_to_text(html, site="site.example.com") == text


def test_lists_within_lists_stay_within() -> None:
    text = html_to_text("<ul><li>one<ul><li>in</li></ul></li><li>two</li></ul>")
    assert text == "- one\n  - in\n- two"


@pytest.mark.parametrize("tag", ["div", "blockquote", "ul><li", "b", "sup"])
def test_elements_nested_without_end_are_read(tag: str) -> None:
    assert "deep" in html_to_text(f"<{tag}>" * 200 + "deep")
    html_to_text(f"<{tag}>" * 20_000 + "deep")


_TAGS = (
    "p",
    "a",
    "b",
    "ul",
    "ol",
    "li",
    "pre",
    "code",
    "blockquote",
    "table",
    "tr",
    "td",
    "h1",
    "h7",
    "sup",
    "br",
)

_PIECES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [f"<{slash}{tag}>" for tag in _TAGS for slash in ("", "/")]
        + [
            '<a href="',
            '<a href="//[">',
            '<img alt="',
            "<![CDATA[",
            "<!DOCTYPE x>",
            "<?xml ?>",
            "<!--",
            "-->",
        ]
        + [
            "&",
            "&#0;",
            "&#xD800;",
            "&nbsp;",
            "<",
            ">",
            '"',
            "\x00",
            "\r\n",
            "`",
            '<ol start="x">',
            '<td colspan="x">',
        ]
    ),
)


@given(st.lists(_PIECES, max_size=30).map("".join))
def test_no_html_is_too_odd(html: str) -> None:
    text = html_to_text(html, site="site.example.com")
    assert text == text.strip()
