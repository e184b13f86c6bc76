"""``igpo-sample``: completions that are written before one's eyes, into files and onto a page."""
