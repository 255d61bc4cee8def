"""How a judge is asked and how its answers are read: specifications, and verdicts from logits."""
