"""Sphinx's settings of the site. Nothing on a page is fetched from another machine."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

project = "interank"
author = "the interank authors"
copyright = "the interank authors, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["project/readme.md", "files"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
highlight_language = "text"
# Two hyphens are two hyphens: most are of an option.
smartquotes = False

autodoc_member_order = "bysource"
autoclass_content = "both"
default_role = "code"
autodoc_typehints = "description"
autodoc_mock_imports = [
    "accelerate",
    "bitsandbytes",
    "datasets",
    "duckdb",
    "gguf",
    "httpx2",
    "huggingface_hub",
    "ir_measures",
    "lxml",
    "markdownify",
    "bs4",
    "matplotlib",
    "nltk",
    "numpy",
    "peft",
    "psutil",
    "py7zr",
    "pyarrow",
    "pytrec_eval",
    "rensa",
    "safetensors",
    "scipy",
    "shtab",
    "tokenizers",
    "torch",
    "tqdm",
    "transformers",
    "trl",
    "filelock",
]
napoleon_google_docstring = True

html_theme = "pydata_sphinx_theme"
html_title = "interank"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "show_prev_next": True,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "search_bar_text": "Search the docs",
}
html_sidebars = {page: [] for page in ("index", "install", "tutorial", "faq", "glossary")}
