"""`python -m soft_prompts` is the soft-prompts command."""

from soft_prompts.cli import main

if __name__ == "__main__":
    main()
