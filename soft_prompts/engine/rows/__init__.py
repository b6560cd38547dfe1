"""How does a batch become one row without padding: as it comes, or in a form that comes again and is recorded?"""
