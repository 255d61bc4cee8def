"""What exists already and is brought along: rows of a table as groups, and what they say of them.

`cells` finds what a row says under the recipe's names of columns, `candidates` makes a prompt and
its candidates of it, `verdicts` its scores and duels, and puts rows of one prompt together.
"""
