"""Staging: a complete example. Replace the addresses (documentation ranges) with your machines'."""

from inventories.loading import validate as _validate

lb = [("stg-lb1", {"ssh_hostname": "192.0.2.11"})]
app = [
    ("stg-app1", {"ssh_hostname": "192.0.2.21"}),
    ("stg-app2", {"ssh_hostname": "192.0.2.22"}),
]
db = [
    ("stg-db1", {"ssh_hostname": "192.0.2.31"}),
    ("stg-db2", {"ssh_hostname": "192.0.2.32"}),
]
cache = [("stg-cache1", {"ssh_hostname": "192.0.2.41"})]
ops = [("stg-ops1", {"ssh_hostname": "192.0.2.51"})]
customer = [("stg-customer1", {"ssh_hostname": "192.0.2.129"})]

_validate(__file__, globals())
