"""The human audit: which pairs people look at, and what their answers say of the whole data set."""
