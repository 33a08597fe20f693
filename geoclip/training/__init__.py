"""Fine-tuning an encoder on photos of known places.

From the inside out: `losses` and `auxiliary` losses over features; one `step` over the global
batch, which runs the `towers` and gathers from the `workers`; the `trainer`, which takes the steps
of seeded `batches` with its `optimizer`; the `loop` around it, which evaluates on `held_out` photos
and keeps `checkpoints`. No module here knows Ray: `pipelines.train_encoder` runs the same loop on
Ray Train workers.
"""
