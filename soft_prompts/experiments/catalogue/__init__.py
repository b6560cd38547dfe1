"""Which experiments come with the package? A file each: its question, its presets, `EXPERIMENT`. Reading one imports no
torch."""
