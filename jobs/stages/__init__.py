"""The stages of a round: each makes one artifact. `jobs.stages.base` runs them.

The jobs of the same names start them; they load nothing heavy before the recipe is read.
"""
