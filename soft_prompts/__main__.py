"""`python -m soft_prompts` is the soft-prompts command."""

from soft_prompts.commands.main import main

if __name__ == "__main__":
    main()
