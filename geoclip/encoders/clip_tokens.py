"""open_clip's tokenizer of CLIP without the rest of open_clip, which takes seconds to import."""

import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

VOCABULARY = 49408


@cache
def tokenizer_module() -> ModuleType:
    """The module `open_clip.tokenizer`, loaded without importing open_clip."""
    package = find_spec("open_clip")
    if "open_clip" not in sys.modules and package is not None and package.origin is not None:
        file = Path(package.origin).with_name("tokenizer.py")
        spec = spec_from_file_location("open_clip_tokenizer", file)
        if spec is not None and spec.loader is not None:
            module = module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    return import_module("open_clip.tokenizer")


def without_padding(tokens: Tensor) -> Tensor:
    """Tokens (C, L) cut to the longest text.

    Padding is 0, but 0 within a text is a token like any other ("!" in CLIP's vocabulary).
    """
    used = torch.nonzero((tokens != 0).any(dim=0))
    return tokens[:, : int(used.max()) + 1]
