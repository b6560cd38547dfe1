"""What can people start? `soft-prompts` and its subcommands, a file each. Nothing imports it."""
