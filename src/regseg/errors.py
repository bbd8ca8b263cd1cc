"""The one exception type for a user's mistakes."""


class InputError(ValueError):
    """A wrong file, value or option given by the user.

    The message is one sentence that names the offending file or value and the remedy. Entry points print it without a
    stack trace and exit with 2; any other exception is a defect of this project and keeps its trace.
    """
