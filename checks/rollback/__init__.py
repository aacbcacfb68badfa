"""Is there a way back, and does it lead where it should?"""
