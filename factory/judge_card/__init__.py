"""What a judge is worth, before anyone trusts it: asked, measured, told side by side."""
