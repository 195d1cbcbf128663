"""Speed and quality, measured: each a command that writes JSON, a table or a plot into docs/."""
