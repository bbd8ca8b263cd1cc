"""The HTML page of a report."""

import re

from regseg.reporting.html import html_page


def test_a_page_stands_alone_and_fits_phone_and_paper(tmp_path):
    picture = tmp_path / "rows.png"
    picture.write_bytes(b"png")
    text = "# A & B\n\n| run\\_1 | b |\n| --- | --- |\n| c\\_2 | <i> |\n\n![rows](rows.png)\n"
    page = html_page(text, [picture], "regseg: <x>")
    assert page.startswith('<!doctype html>\n<html lang="en">')
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
    assert "<title>regseg: &lt;x&gt;</title>" in page
    assert (
        '<div class="table"><table>' in page and ".table { overflow-x: auto" in page
    )  # the table scrolls, not the page
    assert "<th>run_<wbr>1</th>" in page and "<td>c_2</td>" in page and "&lt;i&gt;" in page
    assert 'src="data:image/png;base64,cG5n"' in page and not re.search(r'(src|href)="(?!data:)', page)


def test_text_is_large_enough_and_paper_has_its_own_rules():
    page = html_page("x", [], "x")
    assert int(re.search(r"body \{ font: (\d+)px", page)[1]) >= 16
    printed = page.partition("@media print")[2]
    assert "break-inside: avoid" in printed and ".table { overflow: visible;" in printed
    assert "border-collapse: separate" in page  # with collapsed borders, the fixed first column loses its lines
    assert "width: max-content" not in page  # a wide screen shows the last column without scrolling
    assert "img { display: block; max-width: 100%" in page


def test_long_names_break_and_values_do_not():
    text = "| row_1 | ours_2 |\n| --- | ---: |\n| a_b | 75.10 ± 0.25 |\n\n1 ± 2\n"
    page = html_page(text, [], "x")
    assert '<th style="text-align:right">ours_<wbr>2</th>' in page  # the columns of a run, which are numbers
    assert "75.10&nbsp;±&nbsp;0.25</td>" in page and "<p>1 ± 2</p>" in page
    first = page.partition("td:first-child, th:first-child {")[2].partition("}")[0]
    assert "max-width" in first and "overflow-wrap: break-word" in first  # instead of covering the next column
