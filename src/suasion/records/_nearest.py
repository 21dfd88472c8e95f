"""What may have been meant by a name that there is not."""

import difflib
from collections.abc import Iterable


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint at the name that may have been meant, to stand behind the wrong one: ` (did you mean 'x'?)`.

    Args:
        name: as it was given.
        names: that there are.

    Returns:
        The hint; empty if none is near.
    """
    found = difflib.get_close_matches(name, list(names), n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""
