"""DeepSpeed, as the loop uses it: configuration, start, one optimiser step, full weights.

The optimiser is torch's AdamW without weight decay: what holds a model back here is its reference
or a short run, and torch's needs no compiler on the worker, where DeepSpeed's own would build
itself on first use. Pipeline and tensor parallelism and offloading are left out.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import torch
from torch import nn

from schemas.recipe import Training

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def learning_rate(training: Training, step: int) -> float:
    """The rate of a step (from 0): linear warm-up, then a half cosine or constant."""
    if step < training.warmup_steps:
        return training.learning_rate * (step + 1) / training.warmup_steps
    if not training.is_cosine:
        return training.learning_rate
    length = max(1, training.num_steps - training.warmup_steps)
    progress = (step - training.warmup_steps) / length
    return training.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))


def micro_batch_size(training: Training) -> int:
    """Rows of one worker's forward pass.

    Raises:
        ValueError: the batch does not divide.
    """
    parts = training.num_workers * training.accumulation_steps
    if training.batch_size % parts:
        raise ValueError(
            f"batch_size {training.batch_size} is not a multiple of num_workers "
            f"x accumulation_steps = {training.num_workers} x {training.accumulation_steps}"
        )
    return training.batch_size // parts


def configuration(training: Training) -> dict[str, Any]:
    """The DeepSpeed configuration of a training section."""
    return {
        "train_batch_size": training.batch_size,
        "train_micro_batch_size_per_gpu": micro_batch_size(training),
        "gradient_accumulation_steps": training.accumulation_steps,
        "gradient_clipping": training.gradient_clipping,
        "optimizer": {
            "type": "AdamW",
            "params": {
                "lr": training.learning_rate,
                "weight_decay": 0.0,
                "torch_adam": True,  # else FusedAdam is compiled on the spot
            },
        },
        "zero_optimization": {"stage": training.zero_stage},
        "bf16": {"enabled": training.precision == "bf16"},
        "steps_per_print": sys.maxsize,
    }


def start(module: nn.Module, training: Training) -> Any:
    """A DeepSpeed engine around the module, in a process group that is already there."""
    deepspeed = _deepspeed()
    engine, *_ = deepspeed.initialize(
        model=module,
        model_parameters=[one for one in module.parameters() if one.requires_grad],
        config=configuration(training),
        dist_init_required=False,
    )
    engine.train()
    return engine


def _deepspeed() -> Any:
    """The library, without two of its habits that cost a worker seconds to minutes."""
    if "deepspeed" not in sys.modules:
        # Its autotuner, which we never run, imports mlflow if it can: 2 s. `None` is Python's own
        # mark for a module that is not to be found.
        is_hidden = sys.modules.setdefault("mlflow", None) is None  # type: ignore[arg-type]
        try:
            import deepspeed  # noqa: F401
        finally:
            if is_hidden:
                del sys.modules["mlflow"]
    import deepspeed

    if not torch.cuda.is_available():
        # A shared-memory backend for CPU ranks, compiled for most of a minute on first use.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed


def optimise(engine: Any, rate: float) -> float:
    """One optimiser step with the gradients that `engine.backward` gathered; their norm before
    clipping."""
    for group in engine.optimizer.param_groups:
        group["lr"] = rate
    norm = None
    if engine.zero_optimization_stage() == 0 and not engine.bfloat16_enabled():
        # Plain gradients on plain parameters: DeepSpeed clips them but keeps no norm.
        found = [one.grad for one in engine.module.parameters() if one.grad is not None]
        norm = torch.nn.utils.get_total_norm(found)
    engine.step()
    return float(engine.get_global_grad_norm() if norm is None else norm)


def restore_full_weights(engine: Any, *, is_saver: bool) -> None:
    """Put the full float32 weights into the engine's module on the saving worker, on the CPU.

    Called on every worker, since shards travel; the engine trains no further. The float32 masters
    are taken, not the bf16 copies of the forward pass: a preference run changes weights by less
    than bf16 can tell apart.
    """
    deepspeed = _deepspeed()
    full = {}
    for name, one in engine.module.named_parameters():
        master = deepspeed.utils.safe_get_full_fp32_param(one) if one.requires_grad else None
        if master is None:  # frozen, or neither sharded nor cast: the parameter is its own master
            with deepspeed.zero.GatheredParameters([one], enabled=hasattr(one, "ds_id")):
                master = one.detach().clone()
        if is_saver:
            full[name] = master.to("cpu", torch.float32)
    if is_saver:
        for name, one in engine.module.named_parameters():
            one.data = full[name]
        for buffer in engine.module.buffers():
            buffer.data = buffer.data.cpu()
