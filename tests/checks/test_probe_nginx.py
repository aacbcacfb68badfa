"""`nginx -T` as a tree, with NGINX's inheritance."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.edge_security.check_redirects import answered_in_clear, plain_ports
from checks.gate import CouldNotLook
from checks.probes.nginx import Configuration, parse, ports

CAPTURED = Path(__file__).parent / "captured"
DOMAIN = "search.sandbox.internal"


@pytest.fixture
def real() -> Configuration:
    return parse((CAPTURED / "lb1.nginx.txt").read_text())


def written(body: str) -> Configuration:
    return parse(f"# configuration file /etc/nginx/nginx.conf:\nhttp {{ {body} }}\n")


def test_a_real_configuration_is_read_with_its_includes(real: Configuration) -> None:
    assert real.files[0] == "/etc/nginx/nginx.conf"
    assert {port for server in real.servers() for port in ports(server)} == {80, 443}
    upstream = real.upstream("search_api")
    assert upstream is not None
    assert [one.args[0].rpartition(":")[2] for one in upstream.all("server")] == ["8443", "8443"]


def test_locations_inherit_what_they_do_not_set(real: Configuration) -> None:
    (server,) = real.servers(443, DOMAIN)
    by_name = {" ".join(place.innermost.args): place for place in real.locations(server)}
    assert len(by_name["= /metrics"].inherited("add_header")) == 7
    assert by_name["/"].value("proxy_ssl_verify") == "on"
    assert by_name["= /metrics"].value("proxy_ssl_verify", "off") == "off"


def test_one_header_of_its_own_loses_all_others() -> None:
    body = "server { add_header A 1; add_header B 2; location / { add_header C 3; location /x { } } }"
    configuration = written(body)
    (server,) = configuration.servers()
    found = [
        [one.args[0] for one in place.inherited("add_header")] for place in configuration.locations(server)
    ]
    assert found == [["A", "B"], ["C"], ["C"]]


def test_quotes_comments_and_braces_in_words_are_no_structure() -> None:
    body = """# a { comment }
    map $a $b { "~^[a-z]{2,3};$" 'x "y"'; default ${a}z; }
    server { listen unix:/run/a.sock; listen [::]:8443 ssl; return 200 "a\\"b;{"; }"""
    configuration = written(body)
    (mapped,) = configuration.http.all("map")
    assert [(one.name, one.args) for one in mapped.block] == [
        ("~^[a-z]{2,3};$", ('x "y"',)),
        ("default", ("${a}z",)),
    ]
    (server,) = configuration.servers(8443)
    returned = server.first("return")
    assert returned is not None
    assert returned.args == ("200", 'a"b;{')


@pytest.mark.parametrize(
    ("listen", "port"), [("", 80), ("listen 10.0.0.1;", 80), ("listen 10.0.0.1:81;", 81)]
)
def test_ports_have_nginx_own_default(listen: str, port: int) -> None:
    (server,) = written(f"server {{ {listen} }}").servers()
    assert ports(server) == {port}


def test_includes_follow_patterns_and_not_every_file_is_included() -> None:
    text = (
        "# configuration file /etc/nginx/nginx.conf:\nhttp { include conf.d/*.conf; }\n"
        "# configuration file /etc/nginx/conf.d/a.conf:\ngzip on;\n"
        "# configuration file /etc/nginx/other/b.conf:\ngzip off;\n"
    )
    assert [str(one) for one in parse(text).http.block] == ["gzip on"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no configuration file"),
        ("# configuration file /a:\nhttp { server {", "ends in the middle"),
        ("# configuration file /a:\n}", "not balanced"),
        ("# configuration file /a:\nevents { }", "no http block"),
        ("# configuration file /a:\ngzip on", "ends in the middle"),
    ],
)
def test_damage_is_not_an_empty_configuration(text: str, word: str) -> None:
    with pytest.raises(CouldNotLook, match=word):
        _ = parse(text).http


words = st.text(st.characters(whitelist_categories=("L", "N"), whitelist_characters="-_./:$"), min_size=1)


@given(st.lists(st.tuples(words, st.lists(words, max_size=3)), min_size=1, max_size=5))
def test_every_directive_comes_back_as_written(directives: list[tuple[str, list[str]]]) -> None:
    plain = [
        (name, args) for name, args in directives if name != "include" and "${" not in " ".join([name, *args])
    ]
    body = " ".join(f"{' '.join([name, *args])};" for name, args in plain)
    assert [(one.name, list(one.args)) for one in written(body).http.block] == plain


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ("return 301 https://a.example$request_uri;", []),
        ("return 308 https://a.example; location / { proxy_pass http://b; }", []),
        ("location / { return 301 https://a.example$request_uri; }", []),
        ("return 302 https://a.example;", ["whatever no location names"]),
        ("return 301 http://a.example;", ["whatever no location names"]),
        ("root /srv;", ["whatever no location names"]),
        ("location / { return 301 https://a.example; } location = /x { return 200 ok; }", ["location = /x"]),
        ("location /a { return 301 https://a.example; }", ["whatever no location names"]),
    ],
)
def test_only_a_permanent_redirect_of_everything_is_none_in_clear(body: str, wrong: list[str]) -> None:
    configuration = written(f"server {{ listen 80; {body} }}")
    (server,) = configuration.servers()
    assert answered_in_clear(configuration, server) == wrong


@pytest.mark.parametrize(
    ("listen", "plain"),
    [
        ("", {80}),
        ("listen 443 ssl;", set()),
        ("listen 80; listen 443 ssl;", {80}),
        ("listen [::]:8080;", {8080}),
    ],
)
def test_ports_without_tls_are_known(listen: str, plain: set[int]) -> None:
    (server,) = written(f"server {{ {listen} }}").servers()
    assert plain_ports(server) == plain
