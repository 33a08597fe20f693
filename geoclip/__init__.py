"""Say where on Earth a photo was taken.

The distribution is called geoclip-gzsl. The public names are listed in `__init__.pyi`. They are
loaded when first used, so that `import geoclip` costs next to nothing.
"""

from geoclip.support.lazy_names import lazy_names
from geoclip.support.name_guard import refuse_other_distribution

refuse_other_distribution()
__getattr__, __dir__, __all__ = lazy_names(__name__)
