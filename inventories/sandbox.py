"""The sandbox: the fleet of systemd guests on this computer, as `launchgate sandbox up` has described it."""

from inventories.fleet import fleet_data as _fleet_data
from inventories.fleet import fleet_group as _fleet_group
from inventories.fleet import read_fleet as _read_fleet
from inventories.loading import validate as _validate

_fleet = _read_fleet()

lb = _fleet_group(_fleet, "lb")
app = _fleet_group(_fleet, "app")
db = _fleet_group(_fleet, "db")
cache = _fleet_group(_fleet, "cache")
ops = _fleet_group(_fleet, "ops")
customer = _fleet_group(_fleet, "customer")

sandbox = ([*lb, *app, *db, *cache, *ops, *customer], _fleet_data(_fleet))

_validate(__file__, globals())
