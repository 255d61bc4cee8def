"""Pairs and groups in the forms that other trainers load: a row in, a record out.

    registry   the formats by name          record   what a record is made of, and why there is none
    columns    the tables of the records    card     what is told of an export, in its README

Each format is a module of its own and a pure function of a row. What a form cannot hold is a
reason, which is counted and told (`jobs/tools/export.py` writes the files). Left out: reading these
forms, which is the matter of `factory.labels`.
"""
