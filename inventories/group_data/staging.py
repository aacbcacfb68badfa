"""Staging: half of production's size, the same shape."""

environment = "staging"
domain = "search.staging.example.com"
control_addresses = ["198.51.100.0/28"]
secrets_source = "directory"
secrets_dir = "~/.config/launchgate/staging/secrets"
ssh_key = "~/.ssh/launchgate_staging_ed25519"
ssh_known_hosts_file = "~/.config/launchgate/staging/known_hosts"

workers = 2
database_buffer_pool_mb = 1024
redis_maxmemory_mb = 256
customer_allowed_networks = ["192.0.2.128/28"]
cors_origins = ["https://console.staging.example.com"]
# Semantic search; the key is the secret ai_api_key. Without this line the service works, and says that it has no AI.
ai_base_url = "https://api.openai.com/v1"
