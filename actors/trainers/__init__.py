"""Training: one loop for the judge and for policies.

Read in this order: `learning` (what a model must offer to be trained), `loop` (the steps),
`engine` (Ray Train around them), `diffusion` (Diffusion-DPO, a learner); then `batches` (which rows
a step sees) and `zero` (DeepSpeed).
"""
