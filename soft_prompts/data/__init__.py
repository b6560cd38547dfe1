"""Where data come from. Nothing in this folder imports torch: its reader processes start in a fraction of a second."""
