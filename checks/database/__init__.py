"""Is the service's own database at the right schema, indexed, pooled, and are secrets in it safe?"""
