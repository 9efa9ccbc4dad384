"""From files to values: YAML, layers, settings, trust."""
