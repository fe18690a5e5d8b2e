"""The second firmware: frames computed by hand, and what cantools reads with the shipped DBC."""

import cantools
import pytest

from agent.decode import Decoder
from agent.frames import Frames
from agent.profile_store import load_profile, profile_directories
from firmware_sim.bms.judgement import Judgement
from firmware_sim.bms.limits import CAR, STORAGE, Limits
from firmware_sim.bms.report import Charge
from firmware_sim.bus.pylontech import messages
from firmware_sim.car.demand import Mode
from firmware_sim.cells.chemistry import CHEMISTRIES
from firmware_sim.cells.spec import PackSpec
from firmware_sim.simulated_pack import SimulatedPack
from packseal.shipped import config_dir
from tests.bench_pack import BenchPack, firmware

LIMITS = Limits(discharge_kw=5.0, regen_kw=5.0, charge_a=37.0, discharge_a=74.0, min_volts=46.0, max_volts=53.2)


@pytest.fixture(scope="module")
def plain():
    pack = SimulatedPack(PackSpec(cells=15, capacity_ah=100.0), 1)
    return pack.report()._replace(
        pack_volts=49.87,
        current_a=-12.3,
        temperatures_c=(21.0, 21.5, 22.0, 21.5),
        soc=Charge(0.61, 0.62, 0.63, 0.60),
        soh=0.97,
        limits=LIMITS,
        alerts=frozenset(),
        faulted=False,
        charge_complete=False,
    )


def payloads(report):
    return {message.identifier: message.encode(0, report).payload for message in messages(15)}


def test_the_frames_are_those_computed_by_hand(plain):
    assert payloads(plain) == {
        # 532, 370, 740 and 460 tenths, little-endian
        0x351: bytes.fromhex("1402 7201 E402 CC01"),
        # 62 % and 97 %
        0x355: bytes.fromhex("3E00 6100"),
        # 4987 hundredths of a volt, -123 tenths of an ampere (out of the battery), 215 tenths of a degree
        0x356: bytes.fromhex("7B13 85FF D700"),
        # nothing wrong, one module, "PN"
        0x359: bytes.fromhex("00 00 00 00 01 50 4E"),
        # charge and discharge enabled
        0x35C: bytes.fromhex("C0 00"),
        0x35E: b"PYLON   ",
    }


@pytest.mark.parametrize(
    ("alerts", "current_a", "expected"),
    [
        ({17}, 0.0, "02 00 00 00"),
        ({18}, 0.0, "04 00 00 00"),
        ({19}, 0.0, "08 00 00 00"),
        ({22, 204, 202}, -80.0, "80 00 80 00"),
        ({22, 203, 201}, 40.0, "00 01 00 01"),
        ({22, 203}, 0.0, "00 01 00 00"),
        ({202}, -76.0, "00 00 80 00"),
        ({201}, 38.0, "00 00 00 01"),
        ({166}, 0.0, "00 08 00 00"),
        ({35, 151}, 0.0, "00 08 00 08"),
        ({35}, 0.0, "00 00 00 08"),
        ({138}, 0.0, "00 00 02 00"),
        ({137}, 0.0, "00 00 04 00"),
        ({136}, 0.0, "00 00 08 00"),
        ({7}, 0.0, "00 00 10 00"),
        ({62}, 0.0, "00 00 00 08"),
        ({17, 138, 19, 136}, 0.0, "0A 00 0A 00"),
    ],
)
def test_each_alert_of_the_firmware_is_its_flag(plain, alerts, current_a, expected):
    report = plain._replace(alerts=frozenset(alerts), current_a=current_a)
    assert payloads(report)[0x359][:4] == bytes.fromhex(expected)


@pytest.mark.parametrize(
    ("changes", "requests"),
    [
        ({"faulted": True}, 0x00),
        ({"charge_complete": True}, 0x40),
        ({"limits": LIMITS._replace(charge_a=0.0)}, 0x40),
        ({"limits": LIMITS._replace(discharge_a=0.0)}, 0x80),
        ({"soc": Charge(0.08, 0.08, 0.08, 0.08)}, 0xD0),
        ({"soc": Charge(0.03, 0.03, 0.03, 0.03)}, 0xF0),
    ],
)
def test_the_pack_asks_for_charge_and_forbids_what_would_harm_it(plain, changes, requests):
    assert payloads(plain._replace(**changes))[0x35C] == bytes((requests, 0))


def test_a_current_at_its_limit_or_a_little_beyond_it_is_no_warning(plain):
    for current_a in (37.0, 37.5, -74.0, -74.5):
        assert payloads(plain._replace(current_a=current_a))[0x359][:4] == bytes(4)


@pytest.mark.parametrize(
    ("mode", "current_a", "expected"), [(Mode.CHARGE_AC, 90.0, "00 01 00 00"), (Mode.LOAD, -190.0, "80 00 00 00")]
)
def test_a_protection_tells_which_way_the_current_went_after_it_has_ended_it(mode, current_a, expected):
    bench = BenchPack.of(15, capacity_ah=100.0, chemistry=CHEMISTRIES["LFP"])
    bms = firmware(bench, rated_ah=100.0, rating=STORAGE, sleeps=False)
    bench.live(bms, mode, 2.0, current_a)
    told = set()
    bench.live(bms, mode, 2.0, current_a, see=lambda report: told.add(payloads(report)[0x359][:4]))
    assert bench.current_a == 0.0
    assert told == {bytes.fromhex(expected)}


def test_only_a_store_warns_of_its_current():
    for rating, expected in ((STORAGE, {201}), (CAR, set())):
        judgement = Judgement(CHEMISTRIES["LFP"], 100.0, rating)
        assert {rule.number for rule in judgement.alerts.rules} & {201} == expected


def test_cantools_reads_with_the_shipped_dbc_what_the_firmware_knows(plain):
    dbc = cantools.database.load_file(config_dir() / "profiles" / "pylontech.dbc")
    told = {}
    for identifier, payload in payloads(plain).items():
        message = dbc.get_message_by_frame_id(identifier)
        assert message.length == len(payload)
        told |= message.decode(payload)
    assert told["PackVoltage"] == pytest.approx(49.87)
    assert told["PackCurrent"] == pytest.approx(-12.3)
    assert told["CellTemperature"] == pytest.approx(21.5)
    assert (told["StateOfCharge"], told["StateOfHealth"]) == (62, 97)
    assert told["ChargeVoltageLimit"] == pytest.approx(53.2)
    assert told["DischargeVoltageLimit"] == pytest.approx(46.0)
    assert told["ChargeCurrentLimit"] == pytest.approx(37.0)
    assert told["DischargeCurrentLimit"] == pytest.approx(74.0)
    assert (told["ChargeEnable"], told["DischargeEnable"], told["Modules"]) == (1, 1, 1)


def test_every_message_comes_once_a_second_and_no_two_share_an_identifier():
    said = messages(15)
    assert {message.period_us for message in said} == {1_000_000}
    assert len({message.identifier for message in said}) == len(said) == 6


def test_the_agent_reads_through_its_own_profile_what_the_firmware_knows(plain):
    profile = load_profile("pylontech", profile_directories())
    report = plain._replace(alerts=frozenset({18, 138}))
    rows = [(n, identifier, 0, payload) for n, (identifier, payload) in enumerate(payloads(report).items())]
    samples = Decoder(profile).decode(Frames.from_rows(rows))
    told = {}
    for number, signal in enumerate(profile.signals):
        (told[signal.name],) = samples.columns[number].values.tolist()
    assert told["CurrentVoltage"] == 49_870
    assert told["CurrentCurrent"] == -12_300, "out of the battery is negative"
    assert told["Temperature.Average"] == 21_500
    assert (told["StateOfCharge.Current"], told["StateOfHealth"]) == (620, 970)
    assert (told["CurrentLimit.Charge"], told["CurrentLimit.Discharge"]) == (37_000, 74_000)
    assert (told["MinVoltage"], told["MaxVoltage"]) == (46_000, 53_200)
    active = {name for name, value in told.items() if name.startswith(("Alert.", "Warning.")) and value}
    assert active == {"Alert.Undervoltage", "Warning.Overvoltage"}
    assert (told["Request.ChargeEnable"], told["Request.DischargeEnable"], told["Request.FullCharge"]) == (1, 1, 0)
