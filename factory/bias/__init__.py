"""The judge's biases: what is observed of each prompt, estimates, and the profile."""
