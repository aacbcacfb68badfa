"""Holds for every inventory unless <inventory>.py beside it says otherwise; meanings in ../schema.py."""

ssh_user = "admin"
ssh_strict_host_key_checking = "yes"
database_flavour = "mariadb"
redis_maxmemory_policy = "volatile-lfu"
log_level = "info"
thresholds = {
    "certificate_days_left_minimum": 21,
    "error_ratio_maximum": 0.001,
    "search_p95_maximum_ms": 500.0,
}
