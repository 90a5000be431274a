#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs image-unpack as bottled does: image_unpack.py PROGRAM load|import ARCHIVE DIR [PREFIX...]

DIR is the job's directory (made when missing). PREFIX: a program that runs it, such as strace.
Prints one JSON line for each message; the exit code is image-unpack's, 128 + N for signal N.
"""
import json
import os
import socket
import struct
import subprocess
import sys

TYPES = {1: "image", 2: "done", 3: "failed"}
TAGS = {1: "id", 2: "ref", 3: "diff_id", 4: "blob", 5: "blob_size", 6: "size", 7: "known", 8: "class", 9: "text"}


def value(data, tag):
    if tag in ("blob_size", "size", "known", "class"):
        return int.from_bytes(data, "little")
    return data.decode(errors="replace")


def decode(message):
    fields, at = [], 8
    while at < len(message):
        tag, _, n = struct.unpack_from("<HHI", message, at)
        fields.append([TAGS[tag], value(message[at + 8:at + 8 + n], TAGS[tag])])
        at += 8 + n
    return {"type": TYPES[struct.unpack_from("<H", message)[0]], "fields": fields}


def main():
    program, mode, archive, job = sys.argv[1:5]
    prefix = sys.argv[5:]
    os.makedirs(job, exist_ok=True)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    job_fd = os.open(job, os.O_RDONLY | os.O_DIRECTORY)

    def place():
        for fd, at in ((os.dup2(theirs.fileno(), 100), 3), (os.dup2(job_fd, 101), 4)):
            os.dup2(fd, at)
        os.closerange(5, 200)

    with open(archive, "rb") as stdin:
        child = subprocess.Popen([*prefix, program, mode], stdin=stdin, preexec_fn=place, close_fds=False)
    theirs.close()
    while message := ours.recv(70000):
        print(json.dumps(decode(message)))
    code = child.wait()
    sys.exit(code if code >= 0 else 128 - code)


main()
