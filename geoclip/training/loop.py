"""The loop around a trainer: take steps, evaluate, keep checkpoints, resume."""

from collections.abc import Callable

from geoclip.training.checkpoints import CheckpointStore, History, NoCheckpoints, Record
from geoclip.training.held_out import HeldOut
from geoclip.training.trainer import Trainer


def run_training(
    trainer: Trainer,
    store: CheckpointStore | None = None,
    *,
    checkpoint_every: int = 100,
    held_out: HeldOut | None = None,
    evaluate_every: int = 0,
    report: Callable[[Record], None] = lambda metrics: None,
) -> History:
    """Train to the end and return all losses and figures; an interrupted run resumes.

    The run is evaluated on `held_out` every `evaluate_every` steps (0: only at the end) and at the
    end. It is kept in `store` after each evaluation, every `checkpoint_every` steps and at the end.
    `report` is called after each step with its losses and any figures. All workers must call this
    together. Raises GeoclipError where `store` holds another run.
    """
    store = store or NoCheckpoints()
    history = store.resume(trainer)

    def evaluate_and_keep(metrics: Record, evaluate: bool) -> None:
        if evaluate and held_out is not None:
            metrics.update(_evaluate(trainer, held_out, history))
        store.keep(trainer, history, metrics)

    if trainer.finished:
        trainer.finish()
        if held_out is not None and not _is_evaluated(trainer, history):
            evaluate_and_keep(dict(history.losses[-1]), evaluate=True)
        return history
    for record in trainer.run():
        history.losses.append(record)
        metrics = dict(record)
        if trainer.finished:
            trainer.finish()
        evaluate = trainer.finished or _is_due(trainer.step, evaluate_every)
        if evaluate or _is_due(trainer.step, checkpoint_every):
            evaluate_and_keep(metrics, evaluate)
        report(metrics)
    return history


def _is_due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _is_evaluated(trainer: Trainer, history: History) -> bool:
    return any(record["step"] == trainer.step for record in history.evaluations)


def _evaluate(trainer: Trainer, held_out: HeldOut, history: History) -> Record:
    """Figures of the encoder now; they are added to the history."""
    figures = held_out.figures(trainer.whole_encoder(trainer.encoder.device))
    history.evaluations.append({"step": float(trainer.step), **figures})
    return figures
