"""Training: one loop for the judge and for policies.

Read in this order: `learning` (what a model must offer to be trained), `loop` (the steps),
`engine` (Ray Train around them), `diffusion` and `answers` (DPO of what draws and of what answers,
two learners); then `families` (diffusers' pipelines), `batches` (which rows a step sees) and `zero`
(DeepSpeed).
"""
