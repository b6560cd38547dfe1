"""How does any part of the program speak, fail and write a file? Errors with exit codes, whole files, the console, the
command line, the launch and the hub. It imports nothing of this package."""
