"""Production: a complete example. Replace the addresses (documentation ranges) with your machines'."""

from inventories.loading import validate as _validate

lb = [
    ("lb1", {"ssh_hostname": "198.51.100.11"}),
    ("lb2", {"ssh_hostname": "198.51.100.12"}),
]
app = [
    ("app1", {"ssh_hostname": "198.51.100.21"}),
    ("app2", {"ssh_hostname": "198.51.100.22"}),
    ("app3", {"ssh_hostname": "198.51.100.23"}),
]
db = [
    ("db1", {"ssh_hostname": "198.51.100.31"}),
    ("db2", {"ssh_hostname": "198.51.100.32"}),
]
cache = [("cache1", {"ssh_hostname": "198.51.100.41"})]
ops = [("ops1", {"ssh_hostname": "198.51.100.51"})]

_validate(__file__, globals())
