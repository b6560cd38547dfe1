"""A world of made-up lands, and the texts that ask about it: which function of a land is meant?"""
