"""The sandbox: production's shape on two shared cores, thrown away without regret."""

environment = "sandbox"
domain = "search.sandbox.internal"
secrets_source = "generated"

workers = 2
database_buffer_pool_mb = 128
database_max_connections = 400
redis_maxmemory_mb = 64
cors_origins = ["https://console.sandbox.internal"]
apt_fast_unsafe_io = True
corpus = True
