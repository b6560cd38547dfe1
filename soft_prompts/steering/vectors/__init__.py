"""How is a vector made, kept and given to others?"""
