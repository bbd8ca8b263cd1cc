"""A report on a terminal."""

import io

import pytest
from rich.console import Console

from regseg.reporting.markdown import Grid, table
from regseg.reporting.terminal import print_report

ROWS = ["resize_400_1600_crop_1024x1024", "dilation_1_14", "road [paved]"]


def shown(text, width=80):
    """What a terminal of ``width`` columns shows."""
    file = io.StringIO()
    print_report(text, Console(file=file, width=width, force_terminal=True, color_system=None, markup=False))
    return file.getvalue().splitlines()


def test_a_pipe_gets_markdown(capsys):
    print_report("# table4\n\n| a |\n| --- |\n| 1 |\n")
    assert capsys.readouterr().out == "# table4\n\n| a |\n| --- |\n| 1 |\n\n"


@pytest.mark.parametrize("width", [80, 60])
def test_a_wide_table_is_divided_and_no_value_is_cut(width):
    headings = ["class", *(f"dilation_1_14_gradual, seed {seed} (not comparable)" for seed in range(9))]
    rows = [[name, *(f"{10 * number + seed}.25" for seed in range(9))] for number, name in enumerate(ROWS, start=1)]
    lines = shown(table(Grid(headings, rows)), width)
    assert max(map(len, lines)) <= width
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    joined = {name: [cell for row in cells if row[0] == name for cell in row[1:]] for name in ROWS}
    assert joined == {name: values for name, *values in rows}
    columns = [len(row) for row in cells if row[0] == ROWS[0]]
    assert max(columns) - min(columns) <= 1  # no single column remains for the last table


def test_sentences_are_wrapped_and_leave_the_columns_of_numbers_alone():
    grid = Grid(
        ["difference, points", "the text says", "ours"], [["4 branches over 2 " * 4, "not always " * 4, "+0.14"]]
    )
    lines = shown(table(grid))
    assert max(map(len, lines)) <= 80 and any(line.endswith("│ +0.14 │") for line in lines)


def test_text_around_tables():
    text = "# table4: **a**\n\n| a |\n| --- |\n| 1 |\n\nA \\* note\nof two lines.\n\n"
    text += "- one\n- two: `python -m regseg.train x`\n\n## Next\n"
    lines = shown(text)
    assert [line for line in lines if line[:1].isalpha() or line[:1] in ("-", "")] == [
        "", "table4: a", "A * note of two lines.", "", "- one", "- two: `python -m regseg.train x`", "", "Next", "",
    ]  # fmt: skip


def test_a_command_is_not_wrapped():
    """So that it can be copied."""
    command = f"`python -m regseg.evaluate weights={'a/' * 50}last.ckpt`"
    assert f"- row: {command}." in shown(f"- row: {command}.\n")
