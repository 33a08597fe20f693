"""Vision-language encoders; the only place that imports open_clip and transformers."""

from geoclip.encoders.encoder import Encoder
from geoclip.encoders.loading import load_encoder

__all__ = ["Encoder", "load_encoder"]
