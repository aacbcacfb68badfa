"""pyinfra operations that components share: sets of files, packages, units, states reached by a script.

Each compares what is with what is wanted, on every run, and never asks what an earlier operation of the
same run reported: so the next run finishes a run that was killed anywhere.
"""
