"""How were the embedded models, games and texts made? It imports no experiment, and nothing but commands and
calibration imports it."""
