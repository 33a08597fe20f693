"""Folders in exactly the layouts of published models: their files and keys, tiny random weights.

A layout is what a repository of the Hugging Face hub holds on its main branch: the names of its
files, the keys of its configs with the published image size and activation, and CLIP's own
vocabulary. SigLIP's vocabularies (32,000 and 256,000 pieces) are replaced by a few hundred pieces
with the published normalisation, special tokens and end of text.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from torch import Tensor

OPENAI_MEAN, OPENAI_STD = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
START, END = "<|startoftext|>", "<|endoftext|>"
HALF = [0.5, 0.5, 0.5]
SENTENCES = [
    "a street view photo in france",
    "a street view photo from windhoek in namibia",
    "a street view photo close to the town of lyon in the region of auvergne rhone alpes in france",
    "the quick brown fox jumps over the lazy dog 0123456789",
]


def tower_size(width: int, layers: int, heads: int, inner: int = 0) -> dict[str, int]:
    """A tower's size in transformers' configs; `inner` is four times the width."""
    return {
        "hidden_size": width,
        "intermediate_size": inner or 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
    }


TINY = tower_size(32, 2, 2, inner=64)


@dataclass(frozen=True)
class Layout:
    """A repository of the hub: `write` makes its files; `library` is what reads them plainly."""

    hub_id: str
    library: str
    write: Callable[[Path], None] = field(repr=False)
    pickled: bool = False

    @property
    def label(self) -> str:
        return self.hub_id.replace("/", "--")


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


# --- tokenizers


@cache
def clip_vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """CLIP's own 49,408 tokens and its merges; open_clip carries the list."""
    tokenizer = open_clip.SimpleTokenizer()
    ids = {word.replace("<start_of_text>", START): i for word, i in tokenizer.encoder.items()}
    ids = {word.replace("<end_of_text>", END): i for word, i in ids.items()}
    return ids, list(tokenizer.bpe_ranks)


@cache
def _clip_tokenizer_json() -> str:
    """The tokenizer.json of OpenAI's models, as transformers' CLIPTokenizerFast wrote it."""
    ids, merges = clip_vocabulary()
    model = models.BPE(
        ids, merges, unk_token=END, continuing_subword_prefix="", end_of_word_suffix="</w>"
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(START, special=True, normalized=True), AddedToken(END, special=True)]
    )
    ends = (END, ids[END]), (START, ids[START])
    tokenizer.post_processor = processors.RobertaProcessing(
        *ends, trim_offsets=False, add_prefix_space=False
    )
    return tokenizer.to_str()


def _added(text: str, kind: bool = True) -> dict[str, Any]:
    token = {"content": text, "single_word": False, "lstrip": False, "rstrip": False}
    return {"__type": "AddedToken"} | token | {"normalized": True} if kind else token


def write_clip_tokenizer(folder: Path, processor_class: str = "") -> None:
    ids, merges = clip_vocabulary()
    (folder / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "tokenizer.json").write_text(_clip_tokenizer_json(), encoding="utf-8")
    ends = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
    config = {name: _added(text) for name, text in ends.items() if name != "pad_token"}
    config |= {"pad_token": END, "add_prefix_space": False, "errors": "replace"}
    config |= {"do_lower_case": True, "model_max_length": 77, "tokenizer_class": "CLIPTokenizer"}
    config |= {"name_or_path": "openai/clip-vit-base-patch32"}
    config |= {"special_tokens_map_file": "./special_tokens_map.json"}
    if processor_class:
        config["processor_class"] = processor_class
    write_json(folder / "tokenizer_config.json", config)
    mapped = {name: _added(text, False) for name, text in ends.items() if name != "pad_token"}
    write_json(folder / "special_tokens_map.json", mapped | {"pad_token": END})


@cache
def _siglip_tokenizer() -> Tokenizer:
    """A unigram tokenizer in the manner of T5: <pad>, </s> and <unk> first, </s> at the end."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=200,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        initial_alphabet=list("abcdefghijklmnopqrstuvwxyz0123456789"),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return tokenizer


def siglip_size() -> int:
    return _siglip_tokenizer().get_vocab_size()


def _spiece() -> bytes:
    """The same pieces as sentencepiece's model file."""
    from transformers.utils import sentencepiece_model_pb2_new as proto

    model = proto.ModelProto()
    kinds = {"<pad>": 3, "</s>": 3, "<unk>": 2}  # control, control, unknown
    for piece, score in json.loads(_siglip_tokenizer().to_str())["model"]["vocab"]:
        model.pieces.add(piece=piece, score=score, type=kinds.get(piece, 1))
    model.trainer_spec.model_type = 1  # unigram
    model.trainer_spec.unk_id, model.trainer_spec.bos_id = 2, -1
    model.trainer_spec.eos_id, model.trainer_spec.pad_id = 1, 0
    model.normalizer_spec.name = "nmt_nfkc"
    model.normalizer_spec.add_dummy_prefix = True
    model.normalizer_spec.remove_extra_whitespaces = True
    model.normalizer_spec.escape_whitespaces = True
    content: bytes = model.SerializeToString()
    return content


def write_siglip_tokenizer(folder: Path, tokenizer_class: str, **config: object) -> None:
    _siglip_tokenizer().save(str(folder / "tokenizer.json"))
    ends = {"eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>"}
    decoder = {"content": "", "lstrip": True, "normalized": False, "rstrip": True}
    decoder |= {"single_word": False, "special": True}
    added = {"1": decoder | {"content": "</s>"}, "2": decoder | {"content": "<unk>"}}
    common = {"added_tokens_decoder": added, "additional_special_tokens": []}
    common |= {"clean_up_tokenization_spaces": True, "model_max_length": 64}
    write_json(
        folder / "tokenizer_config.json",
        common | ends | {"tokenizer_class": tokenizer_class} | config,
    )
    write_json(folder / "special_tokens_map.json", ends)


@cache
def _gemma_tokenizer() -> Tokenizer:
    """A byte-pair tokenizer in the manner of Gemma: falls back to bytes, adds <eos>, no <bos>."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=special + [f"<0x{byte:02X}>" for byte in range(256)],
        show_progress=False,
    )
    letters = ["ABCDEFGHIJKLMNOPQRSTUVWXYZ.,'-"]  # Gemma's vocabulary knows capitals
    tokenizer.train_from_iterator(SENTENCES * 3 + letters, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", 1)]
    )
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = content["added_tokens"][: len(special)]  # bytes are plain pieces
    return Tokenizer.from_str(json.dumps(content))


def gemma_size() -> int:
    return _gemma_tokenizer().get_vocab_size()


def write_gemma_tokenizer(folder: Path, **config: object) -> None:
    _gemma_tokenizer().save(str(folder / "tokenizer.json"))
    ends = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}
    token = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    names = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")
    added = {str(i): {"content": t} | token | {"special": True} for i, t in enumerate(names)}
    common = {"add_bos_token": False, "add_eos_token": True, "added_tokens_decoder": added}
    common |= {"clean_up_tokenization_spaces": False, "do_lower_case": True}
    common |= {"model_input_names": ["input_ids"], "model_max_length": 64, "padding_side": "right"}
    common |= {"sp_model_kwargs": {}, "spaces_between_special_tokens": False}
    common |= {"use_default_system_prompt": False, "tokenizer_class": "GemmaTokenizer"}
    write_json(folder / "tokenizer_config.json", common | ends | config)
    write_json(folder / "special_tokens_map.json", {k: _added(v, False) for k, v in ends.items()})


# --- transformers


def write_weights(folder: Path, tensors: dict[str, Tensor], pickled: bool, name: str = "") -> None:
    tensors = {key: value.clone().contiguous() for key, value in tensors.items()}
    if pickled:
        torch.save(tensors, folder / (name or "pytorch_model.bin"))
    else:
        save_file(tensors, folder / (name or "model.safetensors"), {"format": "pt"})


def _transformers_weights(config: dict[str, Any]) -> dict[str, Tensor]:
    from transformers import AutoConfig, AutoModel

    config = {key: value for key, value in config.items() if value is not None}
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = AutoModel.from_config(AutoConfig.for_model(**config))
    return dict(model.state_dict())


def clip_config(
    size: int,
    patch: int,
    width: int = 24,
    towers: tuple[dict[str, int], dict[str, int]] = (TINY, TINY),
    **others: Any,
) -> dict[str, Any]:
    """The config of a CLIP as transformers 4.2x wrote it, with its doubled sections.

    `towers` are the sizes of the text tower and of the image tower.
    """
    text = towers[0] | {"projection_dim": width}
    vision = towers[1] | {"projection_dim": width, "image_size": size, "patch_size": patch}
    common = {"attention_dropout": 0.0, "dropout": 0.0, "hidden_act": "quick_gelu"}
    common |= {"initializer_factor": 1.0, "initializer_range": 0.02, "layer_norm_eps": 1e-05}
    common |= {"architectures": None, "torch_dtype": None, "transformers_version": "4.16.0.dev0"}
    tokens = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
    tokens |= {"max_position_embeddings": 77, "vocab_size": 49408}
    return {
        "_name_or_path": "openai/clip-vit-large-patch14-336",
        "architectures": ["CLIPModel"],
        "initializer_factor": 1.0,
        "logit_scale_init_value": 2.6592,
        "model_type": "clip",
        "projection_dim": width,
        "text_config": common | tokens | text | {"model_type": "clip_text_model"},
        "text_config_dict": text,
        "torch_dtype": "float32",
        "transformers_version": None,
        "vision_config": common | vision | {"model_type": "clip_vision_model"},
        "vision_config_dict": vision,
    } | others


def clip_preprocessor(size: int, **others: Any) -> dict[str, Any]:
    """The preprocessor of OpenAI's repositories, older than `image_processor_type`."""
    return {
        "crop_size": size,
        "do_center_crop": True,
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": list(OPENAI_MEAN),
        "image_std": list(OPENAI_STD),
        "resample": 3,
        "size": size,
    } | others


def newer_preprocessor(size: int, **others: Any) -> dict[str, Any]:
    """As transformers 4.25 and later write it."""
    sizes = {"crop_size": {"height": size, "width": size}, "size": {"shortest_edge": size}}
    more = {"do_convert_rgb": True, "do_rescale": True, "rescale_factor": 1 / 255}
    return clip_preprocessor(size) | sizes | more | others


def _clip(
    size: int, patch: int, preprocessor: dict[str, Any], pickled: bool, **config: Any
) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        content = clip_config(size, patch, **config)
        write_json(folder / "config.json", content)
        write_json(folder / "preprocessor_config.json", preprocessor)
        write_clip_tokenizer(folder, "CLIPProcessor")
        tensors = _transformers_weights(content)
        if pickled:  # from before the position ids' removal
            patches = (size // patch) ** 2 + 1
            tensors["text_model.embeddings.position_ids"] = torch.arange(77)[None]
            tensors["vision_model.embeddings.position_ids"] = torch.arange(patches)[None]
        write_weights(folder, tensors, pickled)

    return write


def siglip_config(size: int, patch: int, vocabulary: int, model_type: str) -> dict[str, Any]:
    """The config of a SigLIP: only what differs from the library's defaults stands in it."""
    vision = {"image_size": size, "patch_size": patch, "model_type": f"{model_type}_vision_model"}
    if model_type == "siglip2":  # NaFlex knows patches, not sizes
        vision = {"patch_size": patch, "num_patches": (size // patch) ** 2} | {
            "model_type": "siglip2_vision_model"
        }
    text = {"vocab_size": vocabulary, "model_type": f"{model_type}_text_model"}
    return {
        "architectures": [f"{model_type.capitalize()}Model"],
        "initializer_factor": 1.0,
        "model_type": model_type,
        "text_config": TINY | {"projection_size": 32} | text,
        "torch_dtype": "float32",
        "transformers_version": "4.37.0.dev0",
        "vision_config": TINY | vision,
    }


def _siglip(
    size: int, patch: int, tokenizer: str, model_type: str = "siglip"
) -> Callable[[Path], None]:
    gemma = tokenizer == "gemma"

    def write(folder: Path) -> None:
        config = siglip_config(size, patch, gemma_size() if gemma else siglip_size(), model_type)
        write_json(folder / "config.json", config)
        kind = model_type.capitalize()
        preprocessor = {
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": HALF,
            "image_processor_type": f"{kind}ImageProcessor",
            "image_std": HALF,
            "processor_class": f"{kind}Processor",
            "resample": 2 if gemma else 3,
            "rescale_factor": 1 / 255,
            "size": {"height": size, "width": size},
        }
        if model_type == "siglip2":
            del preprocessor["size"]
            preprocessor |= {"max_num_patches": 256, "patch_size": patch}
        write_json(folder / "preprocessor_config.json", preprocessor)
        if gemma:
            write_gemma_tokenizer(folder, processor_class=f"{kind}Processor")
        else:
            more = {"do_lower_case": True, "model_input_names": ["input_ids"]}
            more |= {"processor_class": "SiglipProcessor", "sp_model_kwargs": {}}
            write_siglip_tokenizer(folder, "SiglipTokenizer", **more)
            (folder / "spiece.model").write_bytes(_spiece())
        write_weights(folder, _transformers_weights(config), False)

    return write


# --- open_clip


def open_clip_config(**text: Any) -> dict[str, Any]:
    """A ViT's `model_cfg`; the arguments change its text tower."""
    return {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 224, "layers": 2, "width": 64, "patch_size": 32},
        "text_cfg": {
            "context_length": 77,
            "vocab_size": 49408,
            "width": 32,
            "heads": 2,
            "layers": 2,
        }
        | text,
    }


def siglip_model_config(vocabulary: int, hub_id: str) -> dict[str, Any]:
    """open_clip's own SigLIP, but for its sizes."""
    text = {
        "context_length": 64,
        "hf_tokenizer_name": hub_id,
        "tokenizer_kwargs": {"clean": "canonicalize"},
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
        "norm_kwargs": {"eps": 1e-6},
    }
    # timm's own test ViT stands for the published tower, which is large whatever its settings.
    vision = {"timm_model_name": "test_vit", "timm_model_pretrained": False, "image_size": 224}
    config = open_clip_config(**text, vocab_size=vocabulary, width=64)
    config |= {"embed_dim": 64, "init_logit_bias": -10, "custom_text": True}
    return config | {"vision_cfg": vision | {"timm_pool": "map", "timm_proj": "none"}}


def mobile_config() -> dict[str, Any]:
    """MobileCLIP2-S0 with its own image tower and a small text tower that looks both ways."""
    config = json.loads(json.dumps(open_clip.get_model_config("MobileCLIP2-S0")))
    config["text_cfg"] |= {"width": 32, "heads": 2, "layers": 2}
    return config | {"embed_dim": 24}


def open_clip_weights(config: dict[str, Any]) -> dict[str, Tensor]:
    arguments = json.loads(json.dumps(config))
    custom = arguments.pop("custom_text", False)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**arguments)
    return dict(model.state_dict())


def _open_clip(
    config: Callable[[], dict[str, Any]],
    *,
    pickled: bool = False,
    tokenizer: Callable[[Path], None] | None = write_clip_tokenizer,
    **preprocess: Any,
) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        means = {"mean": list(OPENAI_MEAN), "std": list(OPENAI_STD)} | preprocess
        content = config()
        write_json(
            folder / "open_clip_config.json", {"model_cfg": content, "preprocess_cfg": means}
        )
        name = "open_clip_pytorch_model.bin" if pickled else "open_clip_model.safetensors"
        write_weights(folder, open_clip_weights(content), pickled, name)
        if tokenizer:
            tokenizer(folder)

    return write


def _both(*writers: Callable[[Path], None]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for writer in writers:
            writer(folder)

    return write


def _siglip_tag(folder: Path) -> None:
    write_siglip_tokenizer(folder, "T5Tokenizer", extra_ids=0, sp_model_kwargs={})


_OLD, _NEW = clip_preprocessor(224), newer_preprocessor(224)
_BICUBIC = {"interpolation": "bicubic", "resize_mode": "shortest"}
_SQUASH = {"mean": HALF, "std": HALF, "interpolation": "bicubic", "resize_mode": "squash"}

LAYOUTS = [
    Layout(
        "geolocal/StreetCLIP", "transformers", _clip(336, 14, newer_preprocessor(336), True), True
    ),
    Layout("openai/clip-vit-base-patch32", "transformers", _clip(224, 32, _OLD, True), True),
    Layout(
        "openai/clip-vit-large-patch14-336",
        "transformers",
        _clip(336, 14, clip_preprocessor(336), True),
        True,
    ),
    Layout("google/siglip-base-patch16-224", "transformers", _siglip(224, 16, "siglip")),
    Layout("google/siglip-so400m-patch14-384", "transformers", _siglip(384, 14, "siglip")),
    Layout("google/siglip2-base-patch16-224", "transformers", _siglip(224, 16, "gemma")),
    Layout("vinid/plip", "transformers", _clip(224, 32, _NEW, True), True),
    Layout(
        "flaviagiammarino/pubmed-clip-vit-base-patch32",
        "transformers",
        _clip(224, 32, _OLD, True),
        True,
    ),
    Layout("patrickjohncyh/fashion-clip", "transformers", _clip(224, 32, _NEW, False)),
    Layout("flax-community/clip-rsicd-v2", "transformers", _clip(224, 32, _OLD, True), True),
    Layout(
        "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        "open_clip",
        _both(_clip(224, 32, _OLD, False), _open_clip(open_clip_config)),
    ),
    Layout("imageomics/bioclip", "open_clip", _open_clip(open_clip_config)),
    Layout(
        "timm/vit_base_patch32_clip_224.metaclip_400m",
        "open_clip",
        _open_clip(lambda: open_clip_config() | {"quick_gelu": True}, **_BICUBIC),
    ),
    Layout(
        "timm/MobileCLIP2-S0-OpenCLIP",
        "open_clip",
        _open_clip(
            mobile_config,
            mean=[0.0] * 3,
            std=[1.0] * 3,
            interpolation="bilinear",
            resize_mode="shortest",
        ),
    ),
    Layout(
        "timm/ViT-B-16-SigLIP",
        "open_clip",
        _open_clip(
            lambda: siglip_model_config(siglip_size(), "timm/ViT-B-16-SigLIP"),
            tokenizer=_siglip_tag,
            **_SQUASH,
        ),
    ),
    Layout(
        "timm/ViT-B-16-SigLIP2",
        "open_clip",
        _open_clip(
            lambda: siglip_model_config(gemma_size(), "timm/ViT-B-16-SigLIP2"),
            tokenizer=write_gemma_tokenizer,
            **_SQUASH,
        ),
    ),
]
NAFLEX = Layout(
    "google/siglip2-base-patch16-naflex", "transformers", _siglip(256, 16, "gemma", "siglip2")
)

LARGE = {"width": 768, "towers": (tower_size(768, 12, 12), tower_size(1024, 24, 16))}
FULL_SIZE = Layout(
    "geolocal/StreetCLIP", "transformers", _clip(336, 14, newer_preprocessor(336), False, **LARGE)
)
"""StreetCLIP at its own size: 1.7 GB of random weights."""


def write_layout(layout: Layout, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    layout.write(folder)
    return folder


def write_hub_cache(cache: Path, layout: Layout, commit: str = "a" * 40) -> Path:
    """The layout as huggingface_hub's cache keeps it: refs, blobs, and links in a snapshot."""
    repository = cache / f"models--{layout.label}"
    blobs, snapshot = repository / "blobs", repository / "snapshots" / commit
    if snapshot.is_dir():
        return snapshot
    for path in (blobs, snapshot, repository / "refs"):
        path.mkdir(parents=True, exist_ok=True)
    write_layout(layout, snapshot)
    for i, path in enumerate(sorted(snapshot.iterdir())):
        blob = path.rename(blobs / f"{i:064x}")
        path.symlink_to(Path("../../blobs") / blob.name)
    (repository / "refs" / "main").write_text(commit)
    return snapshot
