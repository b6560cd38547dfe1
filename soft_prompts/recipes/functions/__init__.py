"""How are the models made that learn functions of lands in context?"""
