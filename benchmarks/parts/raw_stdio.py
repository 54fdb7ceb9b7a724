"""A raw upstream on stdio: reads lines, answers in microseconds, ends with its input.

python benchmarks/parts/raw_stdio.py [--tools N]
"""

import os
import sys

sys.path[0] += "/.."  # run as a program: `parts` is a package in the folder above

from parts.raw_answers import Answers

READ_BYTES = 1 << 20


def serve(tools: int) -> None:
    answers = Answers(tools)
    rest = b""
    while data := os.read(0, READ_BYTES):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if not line.strip():
                continue
            answer = answers.to(line)
            if answer is not None:
                left = memoryview(answer + b"\n")
                while left:
                    left = left[os.write(1, left) :]


if __name__ == "__main__":
    serve(int(sys.argv[2]) if sys.argv[1:2] == ["--tools"] else 3)
