"""Vision-language encoders; the only place that imports open_clip and transformers."""

from geoclip.support.lazy_names import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__)  # `geoclip models` needs no torch
