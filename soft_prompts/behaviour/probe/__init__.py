"""Which is the shortest prompt that brings a change out?"""
