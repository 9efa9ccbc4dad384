"""From events, runs, plans and problems to text."""
