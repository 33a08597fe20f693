"""Blocks shared out among two real workers: the run is that of one process with whole weights."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_encoders import (
    clip_encoder,
    siglip_like_encoder,
    timm_encoder,
    write_transformers_clip,
)
from torch import distributed, multiprocessing
from torch.distributed.tensor import DTensor

from geoclip.encoders import Encoder, load_encoder
from geoclip.errors import GeoclipError
from geoclip.places.captions import CaptionBook
from geoclip.places.gazetteer import Gazetteer
from geoclip.training.batches import Batches
from geoclip.training.photo_set import PhotoSet
from geoclip.training.settings import TrainingSettings
from geoclip.training.trainer import STATE_FILE, Trainer
from geoclip.training.workers import Workers, shard_blocks

SETTINGS = TrainingSettings(
    epochs=2, batch_size=5, learning_rate=1e-3, alpha=0.7, weight_decay=0.1, gradient_clip=0.5
)
CASES: dict[str, tuple[str, dict]] = {
    "clip": ("clip", {}),
    "gradient caching": ("clip", {"chunk_size": 2}),
    "frozen text, distillation": ("clip", {"text_learning_rate": 0.0, "distillation": 0.5}),
    "siglip": ("siglip", {"loss": "siglip", "chunk_size": 1}),
    "siglip, new bias": ("clip", {"loss": "siglip"}),
    "transformers": ("transformers", {}),
    "last block, activation checkpointing": (
        "clip",
        {"tune": "last:1", "activation_checkpointing": True, "chunk_size": 2},
    ),
    "timm, bf16": ("vit", {"precision": "bf16", "chunk_size": 2}),
}


def encoder_of(kind: str, folder: Path) -> Encoder:
    if kind == "transformers":
        return load_encoder(folder / "transformers")
    makers: dict[str, Callable[[], Encoder]] = {
        "clip": clip_encoder,
        "siglip": siglip_like_encoder,
        "vit": lambda: timm_encoder("test_vit"),
    }
    return makers[kind]()


def trainer_of(case: str, folder: Path, sharded: bool) -> Trainer:
    kind, change = CASES[case]
    places = Gazetteer.read(folder / "gazetteer")
    ids = [f"{i}.png" for i in range(12)]
    at = ["1", "1", "2", "3", "3", "4", "5", "6", "7", "8", "9", "FR"]
    photos = PhotoSet(ids, [str(folder / "photos" / i) for i in ids], places.rows(at))
    settings = replace(SETTINGS, **change)
    batches = Batches(encoder_of(kind, folder), CaptionBook(places), photos, settings)
    return Trainer(batches, sharded=sharded)


def run(case: str, folder: Path, sharded: bool, out: Path | None) -> list[float]:
    """The losses of a run that is saved in the middle, resumed by another trainer, and saved."""
    first = trainer_of(case, folder, sharded)
    running = first.run()
    losses = [next(running)["loss"] for _ in range(2)]
    running.close()
    first.save(out and out / "middle")
    if distributed.is_initialized():
        distributed.barrier()
    second = trainer_of(case, folder, sharded)
    second.resume((folder / "shared" / case if sharded else folder / "alone" / case) / "middle")
    losses += [record["loss"] for record in second.run()]
    second.finish()
    second.save(out and out / "end")
    return losses


def work(rank: int, size: int, folder: Path) -> None:
    """One of two processes: run all cases and save the results."""
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=size)
    for case in CASES:
        out = folder / "shared" / case if rank == 0 else None
        losses = run(case, folder, sharded=True, out=out)
        (folder / f"{case} {rank}.json").write_text(json.dumps(losses))
    encoder = clip_encoder()
    shard_blocks(encoder, Workers.current())
    parts = {n for n, p in encoder.model.named_parameters() if isinstance(p, DTensor)}
    (folder / f"parts {rank}.json").write_text(json.dumps(sorted(parts)))
    held = sum(p.to_local().numel() for p in encoder.model.parameters() if isinstance(p, DTensor))
    (folder / f"held {rank}.json").write_text(json.dumps(held))
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, photo_folder: Path, tiny_tables: Path) -> Path:
    folder = tmp_path_factory.mktemp("sharding")
    (folder / "photos").symlink_to(photo_folder)
    (folder / "gazetteer").symlink_to(tiny_tables)
    write_transformers_clip(folder / "transformers")
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    multiprocessing.spawn(work, args=(2, folder), nprocs=2)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_workers_with_shared_out_blocks_take_the_steps_of_one_process(case, shared):
    alone = run(case, shared, sharded=False, out=shared / "alone" / case)
    rough = CASES[case][1].get("precision") == "bf16"
    for rank in range(2):
        losses = json.loads((shared / f"{case} {rank}.json").read_text())
        assert losses == pytest.approx(alone, rel=1e-2 if rough else 1e-5)
    for name in ("end", "middle"):
        ours, theirs = (shared / kind / case / name for kind in ("shared", "alone"))
        assert_same_tensors(ours / STATE_FILE, theirs / STATE_FILE, rough)
        weights = next(p.name for p in theirs.glob("*.safetensors"))
        assert_same_tensors(ours / weights, theirs / weights, rough)


def assert_same_tensors(ours: Path, theirs: Path, rough: bool) -> None:
    got, expected = load_file(ours), load_file(theirs)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        # AdamW divides by the root of small squares: where a gradient is next to nothing, the
        # order of a sum decides about the sign of the step.
        within = 1e-2 if rough else 2e-4
        torch.testing.assert_close(got[name], value, rtol=0, atol=within, msg=name)


@pytest.mark.slow
def test_each_worker_holds_half_of_the_blocks_and_all_of_the_rest(shared):
    whole = dict(clip_encoder().model.named_parameters())
    for rank in range(2):
        parts = json.loads((shared / f"parts {rank}.json").read_text())
        assert all("resblocks" in name for name in parts)
        assert {n for n in whole if "resblocks" in n} == set(parts)
        held = json.loads((shared / f"held {rank}.json").read_text())
        assert held == pytest.approx(sum(whole[n].numel() for n in parts) / 2, rel=0.01)


def test_a_model_without_a_stack_of_blocks_is_refused(monkeypatch):
    monkeypatch.setattr(
        "geoclip.training.workers.init_device_mesh", lambda *_: pytest.fail("not refused")
    )
    encoder = clip_encoder()
    encoder.model = torch.nn.Linear(2, 2)
    with pytest.raises(GeoclipError, match="without FSDP"):
        shard_blocks(encoder, Workers(0, 2))
