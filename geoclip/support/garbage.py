"""When Python searches for garbage, which takes a quarter of the time to a first answer."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def made_to_last() -> Iterator[None]:
    """Search for no garbage meanwhile, and never again among what is there at the end.

    Importing torch and open_clip makes some 870,000 objects that last as long as the process.
    Python looks through all of them several times while they are made and once more before it
    ends. For processes whose own loading this is, not for libraries: garbage of others that is
    there at the end is kept, too. Leaves all as it is where the search is off already.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
