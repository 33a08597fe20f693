from geoclip.encoders.encoder import Encoder as Encoder
from geoclip.encoders.loading import load_encoder as load_encoder
