"""What does one model write that another would not, from the same prompts and seeds?"""
