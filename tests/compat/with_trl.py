"""TRL's `DPOTrainer` takes a step on an export, with the sandbox's small base model.

python tests/compat/with_trl.py EXPORT WEIGHTS
"""

from __future__ import annotations

import math
import sys
import tempfile

# A base model has no chat template; any that shows pictures and words in their order will do.
_TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %} {{ part['text'] }} {% endif %}"
    "{% endfor %}{% endfor %}"
)


def train(out: str, weights: str) -> str:
    """Train one step and say what came of it."""
    import torch
    import trl
    from datasets import load_dataset
    from transformers import AutoModelForImageTextToText, AutoProcessor

    torch.set_num_threads(1)
    processor = AutoProcessor.from_pretrained(weights)
    processor.chat_template = processor.tokenizer.chat_template = _TEMPLATE
    model = AutoModelForImageTextToText.from_pretrained(weights)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    table = load_dataset(out, split="train")
    with tempfile.TemporaryDirectory() as directory:
        settings = trl.DPOConfig(
            directory,
            max_length=None,
            max_steps=1,
            per_device_train_batch_size=2,
            learning_rate=1e-3,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
        )
        trainer = trl.DPOTrainer(
            model, args=settings, train_dataset=table, processing_class=processor
        )
        trainer.train()
    (first, *_) = trainer.state.log_history
    loss = first["loss"]
    # Model and reference are the same before the first step.
    assert abs(loss - math.log(2)) < 1e-3, loss
    changed = sum(
        not torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True)
    )
    assert changed
    told = f"a step on {len(table)} pairs, loss {loss:.4f}, {changed} tensors moved"
    return f"TRL {trl.__version__}: {told}"


if __name__ == "__main__":
    print(train(*sys.argv[1:3]))
