"""The helpers of these jobs explain their asserts as tests do; and the drive that several of them look at is driven once."""

import pytest

pytest.register_assert_rewrite("bus_machine", "drive", "source_behaviour", "way")


@pytest.fixture(scope="session")
def drive(tmp_path_factory):
    """What became of the drive, while its bus is still there."""
    import drive
    from bus_machine import vcan

    with vcan(name=drive.CHANNEL):
        yield drive.drive(tmp_path_factory.mktemp("way"))
