"""Does the service do what its users come for, seen from outside?"""
