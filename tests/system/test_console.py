"""The console of tables and progress bars."""

import io

from regseg.system.console import plain_console


def test_names_are_printed_without_markup_or_emoji():
    written = io.StringIO()
    plain_console(file=written, width=80).print("road [paved] [/] :car: 12")
    assert written.getvalue() == "road [paved] [/] :car: 12\n"
