"""Is the distance that is measured the distance that was planted? Behaviours whose distance is known beforehand. It
never imports commands."""
