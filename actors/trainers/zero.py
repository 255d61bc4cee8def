"""DeepSpeed, as the loop uses it: configuration, steps, checkpoints, full weights.

The optimiser is torch's AdamW without weight decay: what holds a model back here is its reference
or a short run, and torch's needs no compiler on the worker, where DeepSpeed's own would build
itself on first use. Pipeline and tensor parallelism are left out, and offloading the weights of
the forward pass: that of the optimiser is what a recipe can ask for.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from schemas.recipe import Training

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_TAG = "engine"  # DeepSpeed's folder in a checkpoint


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
    """The DeepSpeed configuration of a training section.

    bf16 has at least ZeRO stage 1, which keeps float32 masters that can be read and written; on
    one worker it is stage 0 in all but name.
    """
    is_bf16 = training.precision == "bf16"
    stages: dict[str, Any] = {"stage": max(training.zero_stage, int(is_bf16))}
    if training.offload:
        stages["offload_optimizer"] = {"device": "cpu"}
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
        "zero_optimization": stages,
        # Torch's AdamW steps on the host too; DeepSpeed's own for it would need a compiler.
        "zero_force_ds_cpu_optimizer": False,
        "bf16": {"enabled": is_bf16},
        "steps_per_print": sys.maxsize,
    }


def newest_share(decay: float, step: int) -> float:
    """The share that the newest weights get in the moving average after `step` steps, from 1.

    (1 - decay) / (1 - decay^step), by which the weights before the first step have no part in it
    and those of all steps have parts that fall by `decay` a step and sum to 1: the correction of
    Adam's averages (Kingma & Ba 2015, section 3). Without it a short run at a slow decay would save
    little but the champion: at 0.999 and 250 steps 78 % of it.
    """
    return (1.0 - decay) / (1.0 - decay**step) if decay else 1.0


class ZeroEngine:
    """A module in training: DeepSpeed's engine with its quirks behind it."""

    def __init__(self, module: nn.Module, training: Training) -> None:
        """Cast, shard and wrap the module, in a process group that is already there."""
        self._deepspeed = _deepspeed()
        self._num_parts, self._part = training.accumulation_steps, 0
        self._decay = training.ema_decay
        # What the cast is about to round, on the CPU.
        self._exact = _what_bf16_rounds(module) if training.precision == "bf16" else {}
        #: To be called as the module would be.
        self.model, *_ = self._deepspeed.initialize(
            model=module,
            model_parameters=[one for one in module.parameters() if one.requires_grad],
            config=configuration(training),
            dist_init_required=False,
        )
        self.module = module.train()
        self._is_alone = training.num_workers == 1 and self.model.zero_optimization_stage() == 0
        if self._is_alone:
            # DeepSpeed would gather all gradients into one tensor, reduce it over one worker, and
            # copy it back.
            self.model.enable_backward_allreduce = False
        for name, one in module.named_parameters():
            if one.requires_grad and name in self._exact:
                # DeepSpeed makes the float32 masters from weights that it has rounded before.
                self._deepspeed.utils.safe_set_full_fp32_param(one, self._exact.pop(name))
        # Averages of this worker's masters, in their order; none where nothing is averaged.
        self._averages = [one.detach().clone() for one in self._masters()] if self._decay else []
        # Copies of them at the best look so far; none before `keep_best`.
        self._best: list[Tensor] = []

    def _masters(self) -> list[Tensor]:
        """The float32 weights that this worker's optimiser changes: parameters, or flat shards."""
        optimizer = self.model.optimizer
        stage = self.model.zero_optimization_stage()
        if stage == 0:
            return [one for group in optimizer.param_groups for one in group["params"]]
        if stage == 3:
            return list(optimizer.fp32_partitioned_groups_flat)
        return list(optimizer.single_partition_of_fp32_groups)

    def _beside_masters(self, kept: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        return list(zip(kept, self._masters(), strict=True)) if kept else []

    def keep_best(self) -> None:
        """Keep the weights as they are now: they are what `restore_full_weights` restores."""
        self._best = [one.detach().clone() for one in self._masters()]

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Without gradients and without dropout, for a loss that nothing is learned from."""
        self.model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.model.train()

    def backward(self, loss: Tensor) -> None:
        """Add a micro-batch's gradients to those of the step."""
        if self._part > 0:
            self.model.step()  # applies nothing before the last part: it counts the one before
        self.model.backward(loss)
        self._part += 1

    def step(self, rate: float) -> Tensor | float:
        """One optimiser step at this learning rate; the gradient's norm before clipping."""
        if self._part != self._num_parts:
            raise RuntimeError(f"a step has {self._num_parts} micro-batches, not {self._part}")
        self._part = 0
        for group in self.model.optimizer.param_groups:
            group["lr"] = rate
            for one in group["params"]:
                if self._is_alone and one.grad is None:
                    # As DeepSpeed's reduction would: Adam's averages fall where nothing is added.
                    one.grad = torch.zeros_like(one)
        norm: Tensor | None = None
        if self.model.zero_optimization_stage() == 0:
            # Plain gradients on plain parameters: DeepSpeed clips them but keeps no norm.
            found = [one.grad for one in self.module.parameters() if one.grad is not None]
            norm = torch.nn.utils.get_total_norm(found)
        self.model.step()
        with torch.no_grad():
            newest = newest_share(self._decay, self.model.global_steps)
            for average, master in self._beside_masters(self._averages):
                average.lerp_(master, newest)
        return self.model.get_global_grad_norm() if norm is None else norm

    def save(self, directory: Path) -> None:
        """Write this worker's part of a checkpoint."""
        self.model.save_checkpoint(str(directory), tag=_TAG)
        if kept := self._best or self._averages:
            save_file({str(at): one for at, one in enumerate(kept)}, self._kept_file(directory))

    def load(self, directory: Path) -> None:
        """Go on from a checkpoint in which the parts of all workers are together.

        Raises:
            RuntimeError: it holds nothing that DeepSpeed can read, which DeepSpeed only logs.
        """
        path, _ = self.model.load_checkpoint(str(directory), tag=_TAG)
        if path is None:
            raise RuntimeError(f"{directory}: no DeepSpeed checkpoint")
        file = self._kept_file(directory)
        if file.exists():
            shards = load_file(file)
            kept = [shards[str(at)].to(master.device) for at, master in enumerate(self._masters())]
            if self._decay:
                self._averages = kept
            else:
                self._best = kept

    @staticmethod
    def _kept_file(directory: Path) -> Path:
        return directory / f"kept-{torch.distributed.get_rank()}.safetensors"

    def restore_full_weights(self, *, is_saver: bool) -> None:
        """Put the full float32 weights, averaged or the best if the recipe asks, into the saving
        worker's module, on the CPU.

        Called on every worker, since shards travel; no step can follow. The masters are taken and
        not the bf16 copies of the forward pass: a preference run changes weights by less than bf16
        can tell apart.
        """
        with torch.no_grad():
            for kept, master in self._beside_masters(self._best or self._averages):
                master.copy_(kept)
        full = {}
        for name, one in self.module.named_parameters():
            master = self._exact.get(name)  # frozen
            if master is None and one.requires_grad:
                master = self._deepspeed.utils.safe_get_full_fp32_param(one)
            if master is None:  # neither cast nor sharded, or sharded and frozen
                is_sharded = hasattr(one, "ds_id")
                with self._deepspeed.zero.GatheredParameters([one], enabled=is_sharded):
                    master = one.detach().clone()
            if is_saver:
                full[name] = master.to("cpu", torch.float32)
        if is_saver:
            for name, one in self.module.named_parameters():
                one.data = full[name]
            for buffer in self.module.buffers():
                buffer.data = buffer.data.cpu()


def _what_bf16_rounds(module: nn.Module) -> dict[str, Tensor]:
    """The parameters that bf16 cannot hold exactly, on the CPU."""
    return {
        name: one.detach().to("cpu", copy=True)
        for name, one in module.named_parameters()
        if not torch.equal(one, one.to(torch.bfloat16).to(one.dtype))
    }


def _deepspeed() -> Any:
    """The library, without two of its habits that cost a worker seconds to minutes."""
    if "deepspeed" not in sys.modules:
        # Its autotuner, which we never run, imports mlflow if it can: 2 s. `None` is Python's own
        # mark for a module that is not to be found.
        is_hidden = sys.modules.setdefault("mlflow", None) is None  # type: ignore[arg-type]
        try:
            import deepspeed
        finally:
            if is_hidden:
                del sys.modules["mlflow"]
    import deepspeed

    if not torch.cuda.is_available():
        # A shared-memory backend for CPU ranks, compiled for most of a minute on first use.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed
