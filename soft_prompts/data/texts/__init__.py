"""Documents: files, folders and hub data sets, as one corpus."""
