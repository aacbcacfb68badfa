"""Is the release fast enough, by its own load, and are answers small?"""
