"""The service's settings as its machines get them: plain values in one file, secrets in files of their own."""

from __future__ import annotations

from infra.components.target import Target
from infra.components.tls import deploy as tls

# The service reads each from $CREDENTIALS_DIRECTORY, where systemd puts it for the service alone.
SECRET_NAMES = (
    "database_password",
    "migrate_database_password",
    "redis_password",
    "jwt_secret",
    "api_key_pepper",
    "encryption_keys",
)
AI_CA = "/etc/search-api/ai-ca.crt"


def secret_names(here: Target) -> tuple[str, ...]:
    """The service's secrets on this fleet: the AI's key only where there is an AI."""
    return (*SECRET_NAMES, "ai_api_key") if here.settings.ai_base_url else SECRET_NAMES


def environment(here: Target) -> dict[str, str]:
    """Every setting that is no secret, by its variable's name."""
    settings, fleet = here.settings, here.inventory
    values = {
        # The sandbox is production's shape, so the service takes it for production.
        "environment": "production" if settings.environment == "sandbox" else settings.environment,
        "log_level": settings.log_level,
        "workers": settings.workers,
        "database_host": fleet.role("db")[0].name,
        "database_port": 3306,
        "database_name": "search_api",
        "database_user": "search_app",
        "database_tls_ca": tls.CA,
        "migrate_database_user": "search_migrate",
        "pool_size": settings.database_pool_size,
        "redis_host": fleet.role("cache")[0].name,
        "redis_port": 6379,
        "redis_user": "search_app",
        "redis_tls_ca": tls.CA,
        "customer_allowed_networks": ",".join(settings.customer_allowed_networks),
        "customer_tls_ca": tls.CA,
        "trusted_proxies": ",".join(f"{machine.address}/32" for machine in fleet.role("lb")),
        "cors_origins": ",".join(settings.cors_origins),
        "limit_share_divisor": settings.workers * len(fleet.role("app")),
        # Checks and load come from there: many accounts, one address.
        "limit_exempt_networks": ",".join(settings.control_addresses),
    }
    return {f"SEARCH_API_{name.upper()}": str(value) for name, value in (values | _ai(here)).items()}


def _ai(here: Target) -> dict[str, object]:
    settings = here.settings
    if settings.ai_base_url is None:
        return {}
    values = {
        "ai_base_url": settings.ai_base_url,
        "ai_tls_ca": AI_CA if settings.ai_ca_file else None,
        "ai_model": settings.ai_model,
        "ai_embedding_model": settings.ai_embedding_model,
        "ai_embedding_dimensions": settings.ai_embedding_dimensions,
        "ai_hosts": len(here.inventory.role("app")),
    }
    return {name: value for name, value in values.items() if value is not None}


def environment_file(here: Target) -> str:
    """The settings as systemd's EnvironmentFile."""
    lines = [f'{name}="{value}"' for name, value in sorted(environment(here).items())]
    return "# Written by Launchgate.\n" + "\n".join(lines) + "\n"
