"""An inventory that is wrong is one clear error; one that is right is the same to pyinfra and to everything else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from inventories.schema import REPOSITORY, InventoryError, load_inventory

MACHINES = """
from inventories.loading import validate as _validate
lb = [("lb1", {"ssh_hostname": "192.0.2.1"})]
app = [("app1", {"ssh_hostname": "192.0.2.2"}), ("app2", {"ssh_hostname": "192.0.2.3", "ssh_port": 2222})]
db = [("db1", {"ssh_hostname": "192.0.2.4"})]
cache = [("cache1", {"ssh_hostname": "192.0.2.5"})]
ops = ["cache1"]
"""
END = "_validate(__file__, globals())\n"
SETTINGS = """
environment = "staging"
domain = "search.example.org"
control_addresses = ["198.51.100.0/24"]
secrets_source = "environment"
"""


def write(folder: Path, machines: str = MACHINES, settings: str = SETTINGS, everyone: str = "") -> Path:
    """An inventory `own.py` in a folder of its own."""
    (folder / "group_data").mkdir()
    (folder / "own.py").write_text(machines + END)
    (folder / "group_data" / "own.py").write_text(settings)
    (folder / "group_data" / "all.py").write_text(everyone)
    return folder / "own.py"


def test_machines_roles_and_settings_are_read(tmp_path: Path) -> None:
    inventory = load_inventory(write(tmp_path))
    assert [machine.name for machine in inventory.machines] == ["lb1", "app1", "app2", "db1", "cache1"]
    assert [machine.name for machine in inventory.role("app")] == ["app1", "app2"]
    assert inventory.machine("cache1").roles == ("cache", "ops")
    assert (inventory.machine("app1").ssh_port, inventory.machine("app2").ssh_port) == (22, 2222)
    assert inventory.public_url == "https://search.example.org"
    assert inventory.edge_address == "192.0.2.1"
    assert inventory.state_dir == REPOSITORY / ".launchgate" / "own"
    assert inventory.waivers_file == REPOSITORY / "inventories" / "waivers" / "own.toml"


def test_the_inventory_wins_over_all_and_the_command_line_over_both(tmp_path: Path) -> None:
    path = write(
        tmp_path, everyone="workers = 3\nlog_level = 'error'\n", settings=SETTINGS + "log_level = 'debug'\n"
    )
    assert load_inventory(path).settings.workers == 3
    assert load_inventory(path).settings.log_level == "debug"
    assert load_inventory(path, {"log_level": "warning"}).settings.log_level == "warning"


def test_thresholds_of_an_inventory_complete_those_of_all(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        everyone="thresholds = {'cpus_minimum': 4, 'memory_minimum_mb': 9000}\n",
        settings=SETTINGS + "thresholds = {'cpus_minimum': 8}\n",
    )
    thresholds = load_inventory(path).settings.thresholds
    assert (thresholds.cpus_minimum, thresholds.memory_minimum_mb) == (8, 9000)


@pytest.mark.parametrize(
    ("machines", "settings", "place", "words"),
    [
        (
            MACHINES,
            SETTINGS + "databse_flavour = 'mysql'\n",
            "own.py",
            ["'databse_flavour'", "'database_flavour'"],
        ),
        (MACHINES, SETTINGS.replace("domain", "_domain"), "own.py", ["'domain' is missing", "set 'domain'"]),
        (MACHINES, SETTINGS + "workers = 0\n", "own.py", ["'workers'", "greater than or equal to 1"]),
        (MACHINES, SETTINGS + "thresholds = {'cpus': 1}\n", "own.py", ["'thresholds.cpus'", "unknown key"]),
        (
            MACHINES,
            SETTINGS.replace("search.example.org", "Search"),
            "own.py",
            ["'domain'", "full domain name"],
        ),
        (MACHINES, SETTINGS.replace("0/24", "7/24"), "own.py", ["control_addresses", "must be a network"]),
        (MACHINES, SETTINGS, "own.py", []),
        (
            MACHINES,
            SETTINGS.replace('"environment"\n', '"directory"\n'),
            "own.py",
            ["secrets_dir is missing"],
        ),
        (MACHINES, SETTINGS.replace('"environment"\n', '"generated"\n'), "own.py", ["for the sandbox only"]),
        (MACHINES, SETTINGS + "apt_fast_unsafe_io = True\n", "own.py", ["for the sandbox only"]),
        (MACHINES, SETTINGS + "edge_certificate = '/x.pem'\n", "own.py", ["go together"]),
        (MACHINES, SETTINGS.replace("staging", "production"), "own.py", ["edge_certificate is missing"]),
        (MACHINES + "webs = []\n", SETTINGS, "own.py", ["unknown name 'webs'", "lb, app, db"]),
        (MACHINES + "apps = []\n", SETTINGS, "own.py", ["unknown name 'apps'", "did you mean 'app'"]),
        (MACHINES.replace("db = [", "_db = ["), SETTINGS, "own.py", ["no machine in group 'db'"]),
        (MACHINES + "lb = 'lb1'\n", SETTINGS, "own.py", ["group 'lb' is not a list"]),
        (MACHINES + "lb = (lb, {'workers': 2})\n", SETTINGS, "own.py", ["carries data", "group_data"]),
        (MACHINES.replace('"lb1"', '"LB_1"'), SETTINGS, "own.py", ["bad machine name 'LB_1'"]),
        (
            MACHINES.replace("192.0.2.5", "192.0.2.4"),
            SETTINGS,
            "own.py",
            ["cache1 and db1 have the same address"],
        ),
        (
            MACHINES.replace('"192.0.2.5"', '"cache.example.org"'),
            SETTINGS,
            "(cache1)",
            ["must be an IP address"],
        ),
        (MACHINES.replace("2222", "'many'"), SETTINGS, "(app2)", ["'ssh_port'"]),
        (MACHINES.replace('"ssh_port"', '"shh_port"'), SETTINGS, "(app2)", ["did you mean 'ssh_port'"]),
        (
            MACHINES + "import nothing_of_that_name\n",
            SETTINGS,
            "own.py",
            ["does not load", "ModuleNotFoundError"],
        ),
        (MACHINES, "this is no Python\n", "own.py", ["does not load", "SyntaxError"]),
    ],
)
def test_a_wrong_value_is_one_error_that_names_place_and_cure(
    tmp_path: Path, machines: str, settings: str, place: str, words: list[str]
) -> None:
    path = write(tmp_path, machines, settings)
    if not words:  # the one variant that is right: it shows that the others fail for their own reason
        assert load_inventory(path).settings.secrets_source == "environment"
        return
    with pytest.raises(InventoryError) as error:
        load_inventory(path)
    assert place in error.value.place
    assert error.value.cure
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_a_group_data_file_that_nobody_reads_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "group_data" / "app.py").write_text("workers = 4\n")
    with pytest.raises(InventoryError, match=r"app\.py: belongs to no inventory"):
        load_inventory(path)


def test_unknown_machines_roles_and_files_are_errors(tmp_path: Path) -> None:
    inventory = load_inventory(write(tmp_path))
    with pytest.raises(InventoryError, match="unknown machine 'app9'"):
        inventory.machine("app9")
    with pytest.raises(InventoryError, match="unknown role 'web'"):
        inventory.role("web")
    with pytest.raises(InventoryError, match="no such inventory file"):
        load_inventory(tmp_path / "none.py")


@pytest.mark.parametrize("name", ["staging", "production"])
def test_the_examples_are_complete(name: str) -> None:
    inventory = load_inventory(REPOSITORY / "inventories" / f"{name}.py")
    assert inventory.environment == name
    assert len(inventory.role("app")) >= 2
    assert len(inventory.role("db")) >= 2
    assert inventory.settings.secrets_source != "generated"


def test_the_edge_is_verified_with_the_ca_that_signed_it() -> None:
    staging = load_inventory(REPOSITORY / "inventories/staging.py")
    production = load_inventory(REPOSITORY / "inventories/production.py")
    assert staging.ca_file == staging.internal_ca_file
    assert production.ca_file != production.internal_ca_file


def test_the_sandbox_follows_the_fleet_that_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "fleets" / "mine"
    directory.mkdir(parents=True)
    names = {
        "lb1": 11,
        "app1": 21,
        "app2": 22,
        "db1": 31,
        "db2": 32,
        "cache1": 41,
        "ops1": 51,
        "customer1": 61,
    }
    fleet = {
        "name": "mine",
        "suite": "bookworm",
        "database": "mysql",
        "gateway": "10.1.2.1",
        "machines": [{"name": name, "address": f"10.1.2.{last}"} for name, last in names.items()],
    }
    (directory / "fleet.json").write_text(json.dumps(fleet))
    monkeypatch.setenv("LAUNCHGATE_HOME", str(tmp_path))
    monkeypatch.setenv("LAUNCHGATE_FLEET", "mine")
    inventory = load_inventory(REPOSITORY / "inventories/sandbox.py")
    assert inventory.state_dir == directory
    assert inventory.settings.database_flavour == "mysql"
    assert inventory.control_addresses == ("10.1.2.1/32",)
    assert inventory.settings.customer_allowed_networks == ("10.1.2.61/32",)
    assert inventory.ssh_config() == directory / "ssh" / "config"
    assert [machine.name for machine in inventory.role("db")] == ["db1", "db2"]

    assert inventory.settings.ai_base_url is None

    ai = {
        "url": "https://10.1.2.1:3143/v1",
        "model": "chats",
        "embedding_model": "embeds",
        "dimensions": 384,
        "ca_file": str(directory / "ca.pem"),
        "admin_token_file": str(directory / "token"),
    }
    (directory / "fleet.json").write_text(json.dumps(fleet | {"ai": ai}))
    settings = load_inventory(REPOSITORY / "inventories/sandbox.py").settings
    assert (settings.ai_base_url, settings.ai_ca_file) == (ai["url"], directory / "ca.pem")
    assert (settings.ai_model, settings.ai_embedding_model) == ("chats", "embeds")
    assert settings.ai_embedding_dimensions == 384

    (directory / "fleet.json").write_text('{"name": "mine"}')
    with pytest.raises(InventoryError, match="is damaged"):
        load_inventory(REPOSITORY / "inventories/sandbox.py")
    monkeypatch.setenv("LAUNCHGATE_FLEET", "other")
    with pytest.raises(InventoryError, match="launchgate sandbox up"):
        load_inventory(REPOSITORY / "inventories/sandbox.py")


def test_stock_pyinfra_refuses_a_wrong_inventory_in_one_line(tmp_path: Path) -> None:
    path = write(tmp_path, settings=SETTINGS + "workers = 'many'\n")
    done = subprocess.run(
        [sys.executable, "-m", "pyinfra", "-y", str(path), "exec", "--", "true"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "'workers'" in said
    assert "Traceback" not in said
    assert "Connecting" not in said


def test_stock_pyinfra_sees_the_same_machines_as_everybody_else() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pyinfra", "inventories/staging.py", "debug-inventory"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    for machine in load_inventory(REPOSITORY / "inventories/staging.py").machines:
        assert machine.name in done.stdout + done.stderr
        assert machine.address in done.stdout + done.stderr


def test_the_ssh_config_reaches_every_machine_by_name(tmp_path: Path) -> None:
    inventory = load_inventory(
        write(tmp_path),
        {"state_dir": str(tmp_path / "state"), "ssh_key": "/keys/own", "ssh_user": "operator"},
    )
    config = inventory.ssh_config()
    assert config.stat().st_mode & 0o777 == 0o600
    done = subprocess.run(
        ["ssh", "-G", "-F", str(config), "app2"], capture_output=True, text=True, timeout=20, check=True
    )
    effective = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    assert effective["hostname"] == "192.0.2.3"
    assert effective["port"] == "2222"
    assert effective["user"] == "operator"
    assert effective["identityfile"] == "/keys/own"
    assert effective["stricthostkeychecking"] in ("yes", "true")
    before = config.stat().st_mtime_ns
    assert inventory.ssh_config().stat().st_mtime_ns == before
