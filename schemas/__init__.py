"""What travels: row types, their Arrow form, recipes and manifests. No ray, no torch."""
