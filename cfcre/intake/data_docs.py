"""The Data Docs as one page.

Great Expectations writes a site of linked pages. Where one file is shown by itself, as Kubeflow
shows an HTML artifact, its links lead nowhere; so the pages with the results are put into one.
"""

from __future__ import annotations

import html
from pathlib import Path

__all__ = ["one_page"]

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Data Docs</title>
<style>
body {{ font-family: sans-serif; margin: 1rem; }}
iframe {{ width: 100%; height: 80vh; border: 1px solid #999; }}
summary {{ font-size: 1.1rem; margin: 0.5rem 0; cursor: pointer; }}
</style></head>
<body>
<h1>Data Docs</h1>
{parts}
</body>
</html>
"""
# The pages fetch their styles and scripts from elsewhere: what runs there must not reach the page
# around them.
_PART = '<details open><summary>{title}</summary><iframe sandbox="allow-scripts" srcdoc="{page}">'
_END = "</iframe></details>"


def one_page(docs: Path) -> bytes:
    """The results of every suite, in the order in which they ran.

    Args:
        docs: Folder of the Data Docs.

    Returns:
        An HTML page that needs no other file of the folder.
    """
    pages = sorted((docs / "validations").rglob("*.html"), key=lambda page: page.parent.name)
    parts = [
        _PART.format(
            title=html.escape(page.relative_to(docs / "validations").parts[0]),
            page=html.escape(page.read_text(encoding="utf-8"), quote=True),
        )
        + _END
        for page in pages
    ]
    text = "\n".join(parts) if parts else "<p>No suite ran: the batch held no rows.</p>"
    return _PAGE.format(parts=text).encode("utf-8")
