"""Carries IP packets between two TUN devices, and loses some: a wire. A program of its own, with nothing but the
standard library: packet_forwarder.py DESCRIPTOR DESCRIPTOR LOSS SEED. It ends when standard input does."""

import os
import random
import select
import sys

PACKET_MAX = 65536


def main() -> None:
    one, other = int(sys.argv[1]), int(sys.argv[2])
    loss, chance = float(sys.argv[3]), random.Random(int(sys.argv[4])).random
    ends = {one: other, other: one}
    waiting = select.poll()
    for fd in (0, *ends):
        waiting.register(fd, select.POLLIN)
    while True:
        for fd, _ in waiting.poll():
            if fd == 0:
                return
            packet = os.read(fd, PACKET_MAX)
            if chance() >= loss:
                os.write(ends[fd], packet)


if __name__ == "__main__":
    main()
