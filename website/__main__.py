"""Build the site: `python -m website OUT` writes it, `--serve PORT` shows it on this machine."""

from __future__ import annotations

import argparse
import functools
import http.server
from pathlib import Path

from sphinx.cmd.build import main as sphinx

from website.links import external, malformed
from website.llms import index
from website.source import ROOT, assemble


def main() -> int:
    """Assemble the source, build it without a warning, and show it if asked."""
    parser = argparse.ArgumentParser("website", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--serve", type=int, metavar="PORT")
    options = parser.parse_args()
    source = options.out.with_name(f"{options.out.name}-source")
    assemble(source)
    strict = ["--fail-on-warning", "--keep-going"]
    code: int = sphinx(["-q", "-b", "html", "-c", str(ROOT / "website"), *strict, str(source), str(options.out)])
    if code:
        return code
    (options.out / "llms.txt").write_text(index(source), "utf-8")
    links = external(options.out)
    listed = [f"{address}\t{', '.join(pages)}\n" for address, pages in links.items()]
    (options.out / "links.txt").write_text("".join(listed), "utf-8")
    if wrong := [line for line, address in zip(listed, links, strict=True) if malformed(address)]:
        print("No browser could follow these links:\n" + "".join(wrong), end="")
        return 1
    print(f"The site is in {options.out / 'index.html'}")
    if options.serve:
        show = functools.partial(http.server.SimpleHTTPRequestHandler, directory=options.out)
        print(f"http://127.0.0.1:{options.serve}/ until Ctrl-C")
        with http.server.ThreadingHTTPServer(("127.0.0.1", options.serve), show) as server:
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                print()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
