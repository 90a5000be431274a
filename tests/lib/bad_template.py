#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a template's device state senseless, its sums right: bad_template DIR (struct meta of bottle/monitor/template.c)."""
import ctypes
import struct
import sys

xxh = ctypes.CDLL('libxxhash.so.0')
xxh.XXH3_64bits.restype = ctypes.c_uint64
xxh.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]

with open(f'{sys.argv[1]}/state', 'r+b') as f:
    state = b'NOTQEMU!' + f.read()[8:]
    f.seek(0)
    f.write(state)
with open(f'{sys.argv[1]}/meta', 'r+b') as f:
    meta = bytearray(f.read())
    struct.pack_into('<Q', meta, 40, xxh.XXH3_64bits(state, len(state)))
    struct.pack_into('<Q', meta, len(meta) - 8, xxh.XXH3_64bits(bytes(meta[:-8]), len(meta) - 8))
    f.seek(0)
    f.write(meta)
