#!/usr/bin/env python3
"""Read a credential image as iotctl-swd(7) describes it, as firmware would: iotc_image.py FILE OFFSET prints "TAG HEX" lines."""

import struct
import sys
import zlib

HEADER = struct.Struct("<4sHHIII8sI")


def read_image(data):
    magic, version, header_len, body_len, _, body_crc, _, header_crc = HEADER.unpack_from(data)
    if (magic, version, header_len) != (b"IOTC", 1, HEADER.size) or zlib.crc32(data[: HEADER.size - 4]) != header_crc:
        sys.exit("no image")
    body = data[header_len : header_len + body_len]
    if zlib.crc32(body) != body_crc:
        sys.exit("damaged")
    at = 0
    while at < len(body):
        tag, _, length = struct.unpack_from("<HHI", body, at)
        at += 8
        yield tag, body[at : at + length]
        at += (length + 3) // 4 * 4


with open(sys.argv[1], "rb") as flash:
    flash.seek(int(sys.argv[2], 0))
    for tag, value in read_image(flash.read(65536)):
        print(tag, value.hex())
