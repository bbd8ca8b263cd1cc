"""The one exception type for a user's mistakes."""


class InputError(ValueError):
    """A wrong file, value or option given by the user.

    The message is one sentence that names the offending file or value and the remedy. Entry points print it without a
    stack trace and exit with 2; any other exception is a defect of this project and keeps its trace.
    """


def check_number(name: str, value: object, *, lowest: float = 0, integer: bool = False) -> None:
    """Raise InputError unless ``value`` is a number from ``lowest`` up, and an integer where one is needed."""
    kinds = int if integer else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not value >= lowest:
        raise InputError(f"{name}={value!r} is not {'an integer' if integer else 'a number'} from {lowest} up.")
