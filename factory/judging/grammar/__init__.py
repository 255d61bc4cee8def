"""How a judge's words are read: one grammar for judges that answer here and for labels that a model
wrote somewhere else.

`answer` finds what counts of a text, `sentence` what one sentence says of two sides, with the words
of `sides`, `statements` and `clauses`; `verdict` tells which side a text prefers, and `score` its
numbers. What they cannot read is an `UnreadableError` with a reason: an unread answer costs a row,
and a wrong reading costs the trust in all of them.
"""
