"""Fine-tuning: one step of the contrastive loss, the loop around it, and what surrounds both.

No module here knows Ray; `pipelines.train_encoder` runs the same loop on Ray Train workers.
"""
