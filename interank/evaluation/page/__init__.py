"""The report as a page: one file that needs no network, with the claim, the plots and a browser of the rankings."""

from interank.evaluation.page.document import write_page
from interank.evaluation.page.provenance import Provenance

__all__ = ["Provenance", "write_page"]
