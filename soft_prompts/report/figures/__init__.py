"""What is drawn of readings: the same panels on the page, in files, in a notebook and in tensorboard."""
