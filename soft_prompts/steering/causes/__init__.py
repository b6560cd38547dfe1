"""Where do two prompts, data sets or models differ inside, and which of the differences matter?"""
