"""Models with a change that is known, and controls without it: does the comparison of behaviour find it?"""
