"""How far apart are two models' distributions, on which texts and behind which tokens?"""
