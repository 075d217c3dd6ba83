"""Pages: self-contained HTML files that open from disk, need no network, and run only their own script."""

from .run import run_page
from .template import render_page

__all__ = ["render_page", "run_page"]
