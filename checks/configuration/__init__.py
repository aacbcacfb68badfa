"""Are the service's settings documented, complete, well kept and in force?"""
