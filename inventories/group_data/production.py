"""Production. Secrets come from the environment of the deploy's runner: LAUNCHGATE_SECRET_<NAME>."""

environment = "production"
domain = "search.example.com"
control_addresses = ["203.0.113.0/29"]
secrets_source = "environment"
ssh_key = "~/.ssh/launchgate_production_ed25519"
ssh_known_hosts_file = "~/.config/launchgate/production/known_hosts"
edge_certificate = "~/.config/launchgate/production/search.example.com.pem"
edge_certificate_key = "~/.config/launchgate/production/search.example.com.key"

workers = 4
database_pool_size = 8
database_buffer_pool_mb = 6144
database_max_connections = 400
redis_maxmemory_mb = 2048
cors_origins = ["https://console.example.com"]
# Semantic search; the key is the secret ai_api_key. Without this line the service works, and says that it has no AI.
ai_base_url = "https://api.openai.com/v1"
