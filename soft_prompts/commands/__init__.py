"""What can people start? `soft-prompts` and its subcommands, a file each. No package imports it; it never imports torch
before the flags are read."""
