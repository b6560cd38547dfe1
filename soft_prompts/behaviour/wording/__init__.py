"""In which words do two sets of samples differ, and would it be so with other prompts?"""
