"""The context directory, the manual, the scripts, cluster definitions."""
