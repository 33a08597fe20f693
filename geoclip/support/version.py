"""The version of this distribution."""

from importlib.metadata import version

from geoclip.support.name_guard import OUR_DISTRIBUTION

__version__ = version(OUR_DISTRIBUTION)
