from firmware_sim.car.demand import Mode
from firmware_sim.car.driving import DrivePattern


def test_the_day_begins_in_standby_then_drives_parks_and_charges():
    pattern, order = DrivePattern(1, drive_s=60.0), []
    for _ in range(300_000):
        mode = pattern.advance(0.01, 0.6).mode
        if not order or order[-1] is not mode:
            order.append(mode)
    assert order[:5] == [Mode.PARKED, Mode.DRIVE, Mode.PARKED, Mode.CHARGE_AC, Mode.PARKED]


def test_a_drive_accelerates_cruises_brakes_and_stops():
    pattern, powers, speeds = DrivePattern(4), [], []
    for _ in range(60_000):
        demand = pattern.advance(0.01, 0.6)
        powers.append(demand.power_w)
        speeds.append(demand.speed_m_s)
    assert min(powers) < -30_000
    assert max(powers) > 10_000
    assert min(speeds) == 0.0
    assert 8 < max(speeds) < 40
