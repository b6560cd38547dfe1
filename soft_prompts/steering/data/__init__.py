"""Which prompts, and which answers of which class?"""
