"""A report as one HTML file, for phones, screens and print."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from markdown_it import MarkdownIt

# A table that is wider than the page scrolls on its own, so that the text around it stays in place; on paper, it is
# printed smaller instead. The first column, which names the row, stays visible; collapsed borders would not stay with
# it; its long names break instead of covering the next column. A shadow at the right edge says that there are more
# columns, because phones show no scroll bars. A last column of text, such as remarks, is kept wide enough to read.
_STYLE = """
:root { color-scheme: light }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem; color: #222;
  background: #fff; overflow-wrap: break-word }
h1 { font-size: 1.5rem; line-height: 1.25 } h2 { font-size: 1.2rem; margin-top: 2rem }
.table { overflow-x: auto; margin: 1rem 0; background:
  linear-gradient(to left, #fff 1rem, #fff0) right / 2rem 100% no-repeat local,
  linear-gradient(to left, #0004, #0000) right / .7rem 100% no-repeat scroll }
table { border-collapse: separate; border-spacing: 0; font-variant-numeric: tabular-nums }
td, th { padding: .35rem .75rem; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top;
  max-width: 18rem; overflow-wrap: normal }
td:last-child:not([style]) { min-width: 10rem }
th { vertical-align: bottom }
td:first-child, th:first-child { position: sticky; left: 0; background: #fff; max-width: 45vw; padding-left: 0;
  overflow-wrap: break-word }
img { display: block; max-width: 100%; height: auto; margin: 1.5rem 0 }
@media print {
  @page { margin: 15mm }
  body { font-size: 10pt; max-width: none; padding: 0 }
  .table { overflow: visible; background: none }
  table { font-size: 8pt; width: auto; max-width: 100% } td, th { padding: 2pt 4pt; max-width: none }
  td:first-child, th:first-child { position: static; max-width: none }
  thead { display: table-header-group }
  tr, img { break-inside: avoid }
  h1, h2 { break-after: avoid }
  img { max-height: 240mm; margin: 1rem auto; object-fit: contain }
}
"""


def html_page(text: str, pictures: Sequence[Path], title: str) -> str:
    """Render a report as a single HTML file with embedded pictures.

    Args:
        text: The report in Markdown, which links the pictures by their file names.
        pictures: The PNG files.
        title: The page's title.

    Returns:
        HTML that refers to no other file.
    """
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    # Names of runs may be long, but a value keeps its deviation in its line.
    body = re.sub(r"<th\b.*?</th>", lambda found: found[0].replace("_", "_<wbr>"), body)
    body = re.sub(r"<td\b.*?</td>", lambda found: found[0].replace(" ± ", "&nbsp;±&nbsp;"), body)
    body = body.replace("<table>", '<div class="table"><table>').replace("</table>", "</table></div>")
    for path in pictures:
        data = base64.b64encode(path.read_bytes()).decode()
        body = body.replace(f'src="{path.name}"', f'src="data:image/png;base64,{data}"')
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
