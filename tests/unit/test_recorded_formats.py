"""One text format at a time: which lines are rows, which are not, and which are damaged."""

import pytest

from agent.frames import ERROR, EXTENDED, FD, REMOTE
from agent.sources import candump, gvret
from agent.sources.asc import AscParser
from agent.sources.rows import RowError

GVRET_HEAD = b"Time Stamp,ID,Extended,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8\r\n"


@pytest.mark.parametrize(
    ("line", "row"),
    [
        (b"(1436509052.249713) vcan0 044#2A366C2BBA\n", (1436509052249713, "vcan0", 0x44, 0, b"\x2a\x36\x6c\x2b\xba")),
        (b"(0.5) can1 12345678#\r\n", (500000, "can1", 0x12345678, EXTENDED, b"")),
        (b"(0.1234567) can0 7FF#00 R", (123456, "can0", 0x7FF, 0, b"\0")),
        (b"(1.000000) can0 123#R\n", (1000000, "can0", 0x123, REMOTE, b"")),
        (b"(1.000000) can0 123#R8 T\n", (1000000, "can0", 0x123, REMOTE, b"")),
        (b"(1.000000) can0 123##1" + b"AB" * 12 + b"\n", (1000000, "can0", 0x123, FD, b"\xab" * 12)),
        (b"(1.000000) can0 20000080#0000000000000000\n", (1000000, "can0", 0x80, ERROR, bytes(8))),
        (b"  \n", None),
    ],
)
def test_candump_rows_are_read(line, row):
    assert candump.parse(line) == row


@pytest.mark.parametrize(
    "line",
    [
        b"(1.000000) can0 123#00",  # the file may have been cut inside the payload
        b"(1.000000) can0 123#001\n",
        b"(1.000000) can0 123#" + b"00" * 9 + b"\n",
        b"(1.000000) can0 123##1" + b"00" * 65 + b"\n",
        b"(1.000000) can0 800#00\n",
        b"(1.000000) can0 FFFFFFFF\n",
        b"(1.000000) can0 C0000000#00\n",
        b"(1,000000) can0 123#00\n",
        b"(1_0.000000) can0 123#00\n",
        "(١.000000) can0 123#00\n".encode(),
        b"can0 123 [2] 00 11\n",
        b"\xff\xfe\x00\n",
    ],
)
def test_damaged_candump_rows_are_refused(line):
    with pytest.raises(RowError):
        candump.parse(line)


@pytest.mark.parametrize(
    ("line", "row"),
    [
        (
            b"1953613500,00000109,false,0,8,00,01,00,FF,FF,FF,0F,3D\r\n",
            (1953613500, 0, 0x109, 0, bytes.fromhex("000100FFFFFF0F3D")),
        ),
        (b"1,00000450,false,1,3,00,C2,05\r\n", (1, 1, 0x450, 0, b"\x00\xc2\x05")),
        (b"1,18FF50E5,true,0,2,AA,BB,,,,,,\n", (1, 0, 0x18FF50E5, EXTENDED, b"\xaa\xbb")),
        (b"1,00000450,false,1,0\n", (1, 1, 0x450, 0, b"")),
        (b"1,00000450,false,1,12" + b",AA" * 12, (1, 1, 0x450, FD, b"\xaa" * 12)),
        (b"\r\n", None),
        (GVRET_HEAD, None),
    ],
)
def test_gvret_rows_are_read(line, row):
    parse = gvret.parser(GVRET_HEAD)
    assert parse is not None
    assert parse(line) == row
    assert parse(line) == row  # identifiers are remembered from the first time on


def test_gvret_tables_with_a_direction_column_are_read():
    parse = gvret.parser(b"\xef\xbb\xbfTime Stamp,ID,Extended,Dir,Bus,LEN,D1,D2\n")
    assert parse is not None
    assert parse(b"5,00000123,false,Rx,1,2,01,02\n") == (5, 1, 0x123, 0, b"\x01\x02")


def test_another_table_is_not_taken_for_gvret():
    assert gvret.parser(b"timestamp,arbitration_id,extended,remote,error,dlc,data\n") is None
    assert gvret.parser(b"") is None


@pytest.mark.parametrize(
    "line",
    [
        b"1953613500,00000109,false,0,8,00,01,00,FF,FF,FF,0F,3",
        b"1953613500,00000109,false,0,8,00,01,00,FF\r\n",
        b"1953613500,00000109,false,0,3,00,01,00,FF\r\n",
        b"1953613500,00000109,false,0,3,0,0,0C2,05\r\n",
        b"1953613500,00000109,false,0,65" + b",00" * 65,
        b"1953613500,00000800,false,0,1,00\n",
        b"1953613500,20000000,true,0,1,00\n",
        b"-5,00000100,false,0,1,00\n",
        b"5,00000100,maybe,0,1,00\n",
        b"5,00000100\n",
        b"\x00\x01\x02\n",
    ],
)
def test_damaged_gvret_rows_are_refused(line):
    parse = gvret.parser(GVRET_HEAD)
    assert parse is not None
    for _ in range(2):
        with pytest.raises(RowError):
            parse(line)


def asc_rows(text):
    parser = AscParser()
    return [row for line in text.splitlines(keepends=True) if (row := parser.parse(line)) is not None]


ASC = b"""date Sam Sep 30 15:06:13.191 2017
base hex  timestamps absolute
internal events logged
// version 9.0.0
Begin Triggerblock Sam Sep 30 15:06:13.191 2017
   0.000000 Start of measurement
   0.015991 CAN 1 Status:chip status error active
   0.015991 1  Statistic: D 0 R 0 XD 0 XR 0 E 0 O 0 B 0.00%
   1.015991 1  12F             Rx   d 8 00 11 22 33 44 55 66 77  Length = 0 BitCount = 0 ID = 303
   2.501000 2  18EBFF00x       Tx   d 3 01 02 0A
   2.501500 1  7FF             Rx   r
   2.502000 1  ErrorFrame
   2.503000 CANFD   3 Rx        123                      1 0 9 12 00 01 02 03 04 05 06 07 08 09 0a 0b   0    0     1000
   2.504000 CANFD   3 Tx     50005x  Generic_Name_12                  0 1 2  2 01 02
End TriggerBlock
"""


def test_asc_rows_are_read_and_events_of_other_kinds_passed_over():
    assert asc_rows(ASC) == [
        (1015991, 1, 0x12F, 0, bytes.fromhex("0011223344556677")),
        (2501000, 2, 0x18EBFF00, EXTENDED, b"\x01\x02\x0a"),
        (2501500, 1, 0x7FF, REMOTE, b""),
        (2502000, 1, 0, ERROR, b""),
        (2503000, 3, 0x123, FD, bytes(range(12))),
        (2504000, 3, 0x50005, FD | EXTENDED, b"\x01\x02"),
    ]


def test_asc_in_decimal_with_relative_times_is_read():
    text = b"base dec timestamps relative\n0.5 1 291 Rx d 2 255 16\n0.25 1 292 Rx d 0\n"
    assert asc_rows(text) == [(500000, 1, 291, 0, b"\xff\x10"), (750000, 1, 292, 0, b"")]


@pytest.mark.parametrize(
    "line",
    [
        b"   1.015991 1  12F             Rx   d 8 00 11 22 33 44 55 66 7",
        b"   1.015991 1  12F             Rx   d 8 00 11",
        b"   1.015991 1  12F             Rx   d 1 0G",
        b"   1.015991 1  12F             R",
        b"   1.015991 1  FFF             Rx   d 1 00",
        b"   1.015991 1  123             Rx   d 2 00 1FF",
        b"   1.015991 CANFD   3 Rx        123   1 0 f 65 00 01",
        b"what is this\n",
        b"\xff\xff\n",
    ],
)
def test_damaged_asc_rows_are_refused(line):
    with pytest.raises(RowError):
        AscParser().parse(line)
