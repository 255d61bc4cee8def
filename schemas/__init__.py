"""What travels: row types, their Arrow form, recipes and manifests. Standard library, pyarrow, pydantic."""
