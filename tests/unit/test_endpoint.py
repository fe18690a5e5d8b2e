"""Broker addresses, TLS files and passwords: what is taken, and one line for everything else."""

from dataclasses import replace
from pathlib import Path

import pytest

from link.endpoint import Endpoint, Tls, parse_url
from link.errors import EndpointError


def test_a_url_gives_host_port_user_and_whether_tls():
    plain = parse_url("mqtt://broker.example", client_id="c")
    assert plain == Endpoint("broker.example", 1883, "c")
    assert parse_url("mqtts://broker.example", client_id="c") == Endpoint("broker.example", 8883, "c", tls=Tls())
    found = parse_url("mqtt://an%40agent:p%3Aw@[::1]:2000", client_id="c")
    assert (found.host, found.port, found.username, found.secret()) == ("::1", 2000, "an@agent", "p:w")
    assert str(found) == "mqtt://an@agent@[::1]:2000"


def test_without_a_client_id_each_connection_gets_its_own():
    assert parse_url("mqtt://h").client_id != parse_url("mqtt://h").client_id


@pytest.mark.parametrize(
    "url",
    [
        "",
        "broker.example",
        "broker.example:1883",
        "http://broker.example",
        "mqtt:broker.example",
        "mqtt://",
        "mqtt://:1883",
        "mqtt://h:port",
        "mqtt://h:0",
        "mqtt://h:65536",
        "mqtt://h:-1",
        "mqtt://[::1",
        "mqtt://h/path",
        "mqtt://h?query",
        "mqtt://h#fragment",
        "mqtt://h h",
        "mqtt://h\n",
        "mqtt://h\x1b[2J",
        "mqtt://:hunter2@h",
        "mqtt://user:hunter2%ff@h",
        "mqtt://user:hunter2@h:port",
        "mqtt://user:hunter2@h/path",
        "http://user:hunter2@h",
    ],
)
def test_a_url_that_cannot_be_used_is_one_line_without_the_password(url):
    with pytest.raises(EndpointError) as refused:
        parse_url(url)
    assert len(str(refused.value).splitlines()) == 1
    assert "hunter2" not in str(refused.value)


def test_neither_repr_nor_str_shows_a_password(tmp_path):
    (tmp_path / "password").write_text("hunter2\n")
    for endpoint in (
        parse_url("mqtt://user:hunter2@h"),
        parse_url("mqtt://user@h", password_file=tmp_path / "password"),
    ):
        assert endpoint.secret() == "hunter2"
        assert "hunter2" not in repr(endpoint) + str(endpoint)


def test_a_password_file_is_read_anew_each_time(tmp_path):
    file = tmp_path / "password"
    endpoint = parse_url("mqtt://user@h", password_file=file)
    for content, secret in (("one\n", "one"), ("two", "two"), ("drei ü\r\n", "drei ü")):
        file.write_bytes(content.encode())
        assert endpoint.secret() == secret


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"\xff\xfe"])
def test_a_password_file_that_does_not_hold_one_line_is_named_and_not_quoted(tmp_path, content):
    file = tmp_path / "password"
    file.write_bytes(content)
    with pytest.raises(EndpointError, match=str(file)) as refused:
        parse_url("mqtt://user@h", password_file=file).check()
    assert "two" not in str(refused.value)


def test_files_that_are_missing_or_no_certificates_are_named(tmp_path):
    absent, empty = tmp_path / "absent", tmp_path / "empty.pem"
    empty.write_text("not a certificate\n")
    with pytest.raises(EndpointError, match=r"absent: No such file"):
        parse_url("mqtt://user@h", password_file=absent).check()
    for tls in (Tls(ca=absent), Tls(ca=empty), Tls(certificate=empty, key=empty)):
        with pytest.raises(EndpointError, match=r"absent|empty\.pem") as refused:
            parse_url("mqtts://h", tls=tls).check()
        assert len(str(refused.value).splitlines()) == 1
    with pytest.raises(EndpointError, match="directory"):
        parse_url("mqtts://h", tls=Tls(ca=tmp_path)).check()
    parse_url("mqtts://h").check()


def test_settings_that_do_not_fit_together_are_refused():
    with pytest.raises(EndpointError, match="mqtts://h"):
        parse_url("mqtt://h", tls=Tls())
    with pytest.raises(EndpointError, match="go together"):
        parse_url("mqtts://h", tls=Tls(certificate=Path("c")))
    with pytest.raises(EndpointError, match="client id"):
        parse_url("mqtt://h", session_expiry_s=60)
    with pytest.raises(EndpointError, match="without a user name"):
        parse_url("mqtt://h", password_file=Path("p"))


@pytest.mark.parametrize(
    "change",
    [
        {"host": ""},
        {"port": 0},
        {"client_id": ""},
        {"client_id": "a\0"},
        {"client_id": "a" * 257},
        {"client_id": "\ud800"},
        {"keepalive_s": 0},
        {"keepalive_s": 65536},
        {"session_expiry_s": -1},
        {"session_expiry_s": 2**32},
        {"protocol": "3.1"},
        {"username": "\ud800"},
    ],
)
def test_an_endpoint_outside_the_limits_of_mqtt_is_refused(change):
    with pytest.raises(EndpointError):
        replace(Endpoint("h", 1883, "c"), **change)
