import numpy as np

from agent.decode import Decoder
from agent.frames import ERROR, EXTENDED, REMOTE, Frames
from tests.profiles import made_profile, signal

STATUS = """
BO_ 291 Status: 8 BMS
 SG_ First : 0|8@1+ (1,0) [0|0] "" BMS
 SG_ Signed : 8|16@1- (1,0) [0|0] "" BMS
 SG_ Last : 56|8@1+ (0.5,-40) [0|0] "C" BMS

BO_ 2147483939 Extended: 8 BMS
 SG_ Other : 0|8@1+ (1,0) [0|0] "" BMS

BO_ 1025 Cells: 8 BMS
 SG_ Page M : 0|8@1+ (1,0) [0|0] "" BMS
 SG_ Cell0 m0 : 16|16@1+ (1,0) [0|0] "" BMS
 SG_ Cell1 m0 : 32|16@1+ (1,0) [0|0] "" BMS
 SG_ Cell2 m1 : 16|16@1+ (1,0) [0|0] "" BMS
 SG_ Cell3 m1 : 32|16@1+ (1,0) [0|0] "" BMS
 SG_ Alarm m1 : 48|1@1+ (1,0) [0|0] "" BMS

BO_ 1026 MoreCells: 8 BMS
 SG_ Cell4 : 0|16@1+ (1,0) [0|0] "" BMS

BO_ 512 Long: 64 BMS
 SG_ Far : 500|12@1+ (1,0) [0|0] "" BMS
 SG_ Near : 7|16@0+ (1,0) [0|0] "" BMS
"""
PROFILE = made_profile(
    STATUS,
    signal("First", "Status", "First")
    + signal("Signed", "Status", "Signed")
    + signal("Last", "Status", "Last", "mdegC")
    + signal("Other", "Extended", "Other")
    + signal("Cells", "Cells", "Cell{0..3}", kind="array", absent=65535)
    + signal("Alarm", "Cells", "Alarm", "state", kind="state")
    + signal("Far", "Long", "Far")
    + signal("Near", "Long", "Near"),
)
FIRST, SIGNED, LAST, OTHER, CELLS, ALARM, FAR, NEAR = range(8)
DECODER = Decoder(PROFILE)


def decoded(*rows):
    return DECODER.decode(Frames.from_rows([(time, *row) for time, row in enumerate(rows)]))


def column(samples, signal):
    column = samples.columns[signal]
    elements = None if column.elements is None else column.elements.tolist()
    return column.rows.tolist(), column.values.tolist(), elements


def status(first, signed, last):
    return (0x123, 0, bytes([first]) + signed.to_bytes(2, "little", signed=True) + bytes(4) + bytes([last]))


def page(number, one, two, alarm=0):
    return (0x401, 0, bytes([number, 0]) + one.to_bytes(2, "little") + two.to_bytes(2, "little") + bytes([alarm, 0]))


def test_samples_carry_the_position_of_their_frame():
    samples = decoded(status(1, -2, 80), (0x700, 0, b""), status(3, 4, 0))
    assert column(samples, FIRST) == ([0, 2], [1, 3], None)
    assert column(samples, SIGNED) == ([0, 2], [-2, 4], None)
    assert column(samples, LAST) == ([0, 2], [0, -40_000], None)
    assert (samples.short, samples.unmapped) == (0, 1)


def test_signals_of_messages_that_did_not_come_are_absent():
    samples = decoded(page(0, 1, 2))
    assert set(samples.columns) == {CELLS}
    assert decoded().columns == {}


def test_a_standard_and_an_extended_frame_of_one_number_are_two_messages():
    samples = decoded(
        (0x123, EXTENDED, bytes([9] * 8)), status(1, 0, 0), (0x1FFF0123, EXTENDED, bytes(8)), (0xFFFF, 0, b"")
    )
    assert column(samples, OTHER) == ([0], [9], None)
    assert column(samples, FIRST) == ([1], [1], None)
    assert samples.unmapped == 2


def test_a_frame_too_short_for_a_signal_gives_no_value_of_it_and_is_counted():
    samples = decoded((0x123, 0, b"\x07\x01\x00"), (0x123, 0, b"\x08"), (0x123, 0, b""), status(9, 1, 1))
    assert column(samples, FIRST) == ([0, 1, 3], [7, 8, 9], None)
    assert column(samples, SIGNED) == ([0, 3], [1, 1], None)
    assert column(samples, LAST) == ([3], [-39_500], None)
    assert samples.short == 3


def test_remote_and_error_frames_carry_no_values():
    samples = decoded((0x123, REMOTE, b""), (0x123, ERROR, bytes(8)))
    assert samples.columns == {}
    assert samples.unmapped == 2
    assert samples.short == 0


def test_pages_of_an_array_become_elements_in_the_order_of_frames():
    samples = decoded(page(1, 30, 40), page(0, 10, 20), page(1, 31, 41), page(7, 1, 1))
    assert column(samples, CELLS) == ([0, 0, 1, 1, 2, 2], [30, 40, 10, 20, 31, 41], [2, 3, 0, 1, 2, 3])
    assert column(samples, ALARM) == ([0, 2], [0, 0], None)


def test_the_value_that_says_not_available_gives_no_sample():
    samples = decoded(page(0, 10, 65535), page(1, 65535, 65535))
    assert column(samples, CELLS) == ([0], [10], [0])
    assert CELLS not in decoded(page(1, 65535, 65535)).columns


def test_raw_samples_are_what_the_bits_say():
    frames = Frames.from_rows([(0, *status(1, -2, 80)), (1, *page(0, 10, 65535))])
    samples = DECODER.decode_raw(frames)
    assert column(samples, LAST) == ([0], [80], None)
    assert column(samples, CELLS) == ([1, 1], [10, 65535], [0, 1])


def test_a_page_frame_without_its_selector_gives_nothing():
    samples = decoded((0x401, 0, b""), page(0, 1, 2))
    assert column(samples, CELLS) == ([1, 1], [1, 2], [0, 1])
    assert samples.short == 1


def test_an_array_may_lie_in_several_messages():
    profile = made_profile(
        STATUS,
        '\n[[signal]]\nname = "Two"\nmessage = "Status"\nunit = "count"\nkind = "array"\nsignals = ["First", "Signed"]\n',
    )
    samples = Decoder(profile).decode(Frames.from_rows([(0, *status(5, -6, 0))]))
    assert column(samples, 0) == ([0, 0], [5, -6], [0, 1])


def test_signals_beyond_eight_bytes_are_read_from_long_frames_only():
    long = bytearray(64)
    long[62:64] = b"\xf0\xab"
    long[0:2] = b"\x12\x34"
    samples = decoded((0x200, 4, bytes(long)), (0x200, 0, b"\x56\x78\0\0\0\0\0\0"), status(1, 2, 3))
    assert column(samples, FAR) == ([0], [0xABF], None)
    assert column(samples, NEAR) == ([0, 1], [0x1234, 0x5678], None)
    assert column(samples, FIRST) == ([2], [1], None)
    assert samples.short == 1


def test_batches_may_be_cut_anywhere():
    rows = [status(n, n - 50, n) if n % 3 else page(n % 2, n, n + 1) for n in range(100)]
    frames = Frames.from_rows([(n, *row) for n, row in enumerate(rows)])
    whole = DECODER.decode(frames)
    for cut in (1, 7, 99):
        parts = [DECODER.decode(frames[:cut]), DECODER.decode(frames[cut:])]
        for index, column in whole.columns.items():
            found = [part.columns[index].values for part in parts if index in part.columns]
            assert np.concatenate(found).tolist() == column.values.tolist()
