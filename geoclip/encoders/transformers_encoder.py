"""Encoders built and read by transformers (CLIP and SigLIP folders)."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor, nn

from geoclip.encoders.checks import check_pixels, check_texts
from geoclip.encoders.clip_tokens import tokenizer_module
from geoclip.encoders.encoder import Encoder
from geoclip.encoders.model_folder import IMAGE_CONFIGS, PROCESSOR_FILES, TOKENIZER, ModelFolder
from geoclip.encoders.transformers_text import can_share_prefixes, encode_causal_text
from geoclip.errors import GeoclipError
from geoclip.support.files import let_others_read

IMAGE_PROCESSORS = {"clip": "CLIPImageProcessor", "siglip": "SiglipImageProcessor"}
"""Image processors for types of models whose configs name none."""
LOGIT_BIAS = "logit_bias"


class TransformersEncoder(Encoder):
    """A transformers dual encoder with its image processor and tokenizer.

    `source` is the folder of its configs and tokenizer.
    """

    def __init__(
        self, source: Path, model: Any, image_processor: Any, tokenizer: Any, clean: Any = None
    ) -> None:
        image_size = model.config.vision_config.image_size
        super().__init__(str(source), model, self._preprocess, image_size)
        self.source = source
        self.image_processor = image_processor
        self.tokenizer = tokenizer
        self.causal = model.config.model_type == "clip"
        self._clean = clean

    @classmethod
    def from_pretrained(cls, folder: Path) -> "TransformersEncoder":
        """Load from a folder; safetensors only.

        Raises GeoclipError where weights are missing, where the image processor's class is unknown,
        where texts or pictures do not fit the towers, and for a NaFlex model.
        """
        with _quiet():
            model = _model(folder)
            kind = model.config.model_type
            tokenizer, clean = _tokenizer(folder, kind), None
            if kind == "siglip":
                # SigLIP is trained and evaluated on canonical texts; open_clip cleans them in this
                # way.
                clean = tokenizer_module().get_clean_fn("canonicalize")
            encoder = cls(folder, model, _image_processor(folder, kind), tokenizer, clean)
        check_texts(encoder, folder, model.config.text_config.vocab_size)
        check_pixels(encoder, _image_config(folder), (encoder.image_size, encoder.image_size))
        return encoder

    def _preprocess(self, image: Image.Image) -> Tensor:
        batch = self.image_processor(images=[image], return_tensors="pt")
        pixels: Tensor = batch["pixel_values"][0]
        return pixels

    @property
    def normalization(self) -> tuple[Sequence[float], Sequence[float]]:
        """Mean and standard deviation of each colour channel."""
        return self.image_processor.image_mean, self.image_processor.image_std

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Turn texts into tokens (C, L), cut to the longest for CLIP's causal tower."""
        length = self.model.config.text_config.max_position_embeddings  # type: ignore[union-attr]
        batch = self.tokenizer(
            [self._clean(text) for text in texts] if self._clean else list(texts),
            padding="longest" if self.causal else "max_length",
            truncation=True,
            max_length=length,
            return_tensors="pt",
        )
        tokens: Tensor = batch["input_ids"]
        return tokens

    @property
    def image_tower(self) -> nn.Module:
        """The image tower without its projection."""
        return self.model.vision_model  # type: ignore[return-value]

    def raw_image_features(self, pixels: Tensor) -> Tensor:
        """Image tower: pixels (N, 3, S, S) → features (N, d)."""
        return _features(self.model.get_image_features(pixel_values=pixels))  # type: ignore[operator]

    def raw_text_features(self, tokens: Tensor) -> Tensor:
        """Text tower: tokens (C, L) → features (C, d)."""
        model: Any = self.model
        if self.causal and can_share_prefixes(model.text_model):
            features: Tensor = model.text_projection(encode_causal_text(model.text_model, tokens))
            return features
        return _features(model.get_text_features(input_ids=tokens))

    def tower_parameters(self, tower: str) -> list[nn.Parameter]:
        """Parameters of the "image" or the "text" tower, projections included."""
        prefixes = ("vision_model.", "visual_projection.")
        named = self.model.named_parameters()
        towers = [(n.startswith(prefixes), p) for n, p in named if not n.startswith("logit_")]
        return [p for is_image, p in towers if is_image == (tower == "image")]

    def checkpoint_activations(self) -> None:
        """Let the backward pass compute the activations inside blocks again."""
        model: Any = self.model
        # transformers 5 renamed gradient checkpointing to activation checkpointing.
        enable = getattr(model, "activation_checkpointing_enable", None)
        (enable or model.gradient_checkpointing_enable)({"use_reentrant": False})

    def save(self, folder: str | Path) -> None:
        """Write the folder that `transformers.AutoModel.from_pretrained` loads.

        The weights include a CLIP's logit bias, which transformers ignores and this class reads.
        Tokenizer and preprocessor files are copied: older versions of transformers cannot read what
        newer ones write. Raises GeoclipError where the encoder's source folder is gone.
        """
        folder = Path(folder)
        if not self.source.is_dir():
            raise GeoclipError(
                f"{self.source} is gone, and the tokenizer of {self.name} with it; put it back."
            )
        with _quiet():
            self.model.save_pretrained(str(folder))  # type: ignore[operator]
        for weights in folder.glob("*.safetensors"):
            let_others_read(weights)
        if folder.resolve() != self.source.resolve():
            for name in PROCESSOR_FILES:
                if (self.source / name).is_file():
                    shutil.copyfile(self.source / name, folder / name)


def _model(folder: Path) -> Any:
    """The model in float32; raises GeoclipError where some parameters have no weights."""
    import transformers  # noqa: PLC0415 (6 s of import)

    library: Any = transformers  # its typing of from_pretrained is incomplete
    config = library.AutoConfig.from_pretrained(str(folder), local_files_only=True)
    if config.model_type == "siglip2":
        raise GeoclipError(
            f"{folder} is a NaFlex model; pictures without a fixed size are not supported; use a "
            f"SigLIP 2 of fixed size, such as google/siglip2-base-patch16-224."
        )
    model, found = library.AutoModel.from_pretrained(
        str(folder), use_safetensors=True, local_files_only=True, output_loading_info=True
    )
    missing = sorted(found["missing_keys"])
    if missing:
        raise GeoclipError(
            f"{folder} does not load as a model (its weights lack {len(missing)} tensors, "
            f"{missing[0]} for one); copy the weights of the whole model there."
        )
    if LOGIT_BIAS in found["unexpected_keys"]:
        model.logit_bias = nn.Parameter(_tensor(folder, LOGIT_BIAS))
    return model.float().eval()


def _tensor(folder: Path, name: str) -> Tensor:
    """One tensor of the weights in a folder."""
    for file in ModelFolder.read(folder).weights:
        with safe_open(file, "pt") as tensors:
            if name in tensors.keys():  # noqa: SIM118 - no mapping
                value: Tensor = tensors.get_tensor(name)
                return value
    raise KeyError(name)


def _image_processor(folder: Path, kind: str) -> Any:
    """The image processor; raises GeoclipError where no class has the name in its config.

    Versions of transformers name one class differently: `CLIPFeatureExtractor`,
    `CLIPImageProcessorFast` and `CLIPImageProcessorPil` prepare pictures alike.
    """
    import transformers  # noqa: PLC0415 (6 s of import)

    config, _ = transformers.ImageProcessingMixin.get_image_processor_dict(
        str(folder), local_files_only=True
    )
    named = config.get("image_processor_type") or config.get("feature_extractor_type")
    name = str(named or IMAGE_PROCESSORS.get(kind, ""))
    name = name.replace("FeatureExtractor", "ImageProcessor")
    found: Any = getattr(transformers, name.removesuffix("Fast").removesuffix("Pil"), None)
    if found is None:
        usual = IMAGE_PROCESSORS.get(kind, "CLIPImageProcessor")
        raise GeoclipError(
            f"{_image_config(folder)} names the class {named}, which transformers does not have; "
            f"if it prepares pictures as {usual} does, write that name there."
        )
    return found.from_dict(config)


def _image_config(folder: Path) -> Path:
    """The file that configures the image processor."""
    return next(path for name in IMAGE_CONFIGS if (path := folder / name).is_file())


def _tokenizer(folder: Path, kind: str) -> Any:
    """The tokenizer; SigLIP's is read from tokenizer.json, which needs no sentencepiece."""
    import transformers  # noqa: PLC0415 (6 s of import)

    library: Any = transformers
    if kind == "siglip" and (folder / TOKENIZER).is_file():
        tokenizer = library.PreTrainedTokenizerFast.from_pretrained(
            str(folder), local_files_only=True, padding_side="right"
        )
    else:
        tokenizer = library.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    if tokenizer.pad_token is None:
        raise GeoclipError(
            f"{folder} lacks tokenizer_config.json, which gives the padding token; copy it from "
            f"the model's repository."
        )
    return tokenizer


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' bars and log lines; geoclip's own warnings say what matters."""
    from transformers.utils import logging as library_logging  # noqa: PLC0415

    logging: Any = library_logging  # without types
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _features(output: Any) -> Tensor:
    """Features (N, d), which transformers 5 wraps in an output object and 4 returns bare."""
    features: Tensor = output if isinstance(output, torch.Tensor) else output.pooler_output
    return features
