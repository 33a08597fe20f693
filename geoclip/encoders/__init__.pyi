from geoclip.encoders.encoder import Encoder as Encoder
from geoclip.encoders.loading import load_encoder as load_encoder
from geoclip.encoders.loading import load_for_photos as load_for_photos
