"""The place indexes that come with the embedded models, held against their text towers."""

import numpy as np
import pytest

from geoclip.encoders import load_encoder
from geoclip.encoders.registry import CHECKPOINTS
from geoclip.places.captions import CaptionBook
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.model_settings import ModelSettings
from geoclip.ranking.place_index import PlaceIndex, embed_rows, index_key


@pytest.mark.parametrize("model", ["planet-start", "street-tiny"])
def test_the_index_is_that_of_the_packaged_gazetteer(model):
    folder, gazetteer = CHECKPOINTS / model, Gazetteer.default()
    encoder, captions = load_encoder(folder), ModelSettings.of_model(folder).captions
    key = index_key(encoder, gazetteer, captions)
    index = PlaceIndex.shipped(folder, key, len(gazetteer))
    assert index is not None
    rows = np.random.default_rng(0).choice(len(gazetteer), 40, replace=False)
    anew = embed_rows(encoder, CaptionBook(gazetteer, captions), rows)
    assert np.abs(index.embeddings[rows] - anew).max() < 1e-3
