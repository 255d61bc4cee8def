"""Human labels from the formats in which they are published: one file a format, and a registry.

Nothing here opens a file. A format gets rows and a function that reads the media which they name,
and gives drafts of labels; `jobs.import_labels` reads and writes.
"""
