"""Pages: self-contained HTML files that open from disk, ask the network for nothing, and run no script but their own."""

from .run import run_page
from .template import render_page

__all__ = ["render_page", "run_page"]
