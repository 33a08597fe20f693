"""The version of this distribution.

>>> __version__.split(".")[0]
'0'
"""

from importlib.metadata import version

from geoclip.support.name_guard import OUR_DISTRIBUTION

__version__ = version(OUR_DISTRIBUTION)
