"""What Hypothesis does to healthy files: bytes, lines and cells flipped, cut, doubled, moved and mixed."""

from hypothesis import strategies as st

TOKENS = [
    *(b'"', b",", b"\n", b"\r", b"\r\n", b"\0", b" ", b"\t", b"-", b"+", b".", b"e1", b"0", b"00", b"0x1", b";", b"'"),
    *(b"256", b"nan", b"label", b"pixel0", b"pixel784", b"ImageId", b"{", b"[", b"<", b"\x0b", b"\x1b[2J", b"\x85"),
    *(
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xc2\xa0",
        b"\xe2\x80\xa8",
        "٣".encode(),
        "５".encode(),
        b"PK\x03\x04",
        b"\x1f\x8b",
    ),
    *(b"NaN", b"Infinity", b"null", b"true", b"1e999", b"\\u0000", b"]", b"}", b"(", b")", b"True", b"|O", b"-1"),
]


def draw_span(draw, content: bytes) -> tuple[int, int]:
    start = draw(st.integers(0, len(content)))
    return start, min(len(content), start + draw(st.sampled_from([1, 2, 3, 8, 100, 4000])))


def flip_bit(draw, content: bytes) -> bytes:
    if not content:
        return content
    at = draw(st.integers(0, len(content) - 1))
    return content[:at] + bytes([content[at] ^ 1 << draw(st.integers(0, 7))]) + content[at + 1 :]


def overwrite(draw, content: bytes) -> bytes:
    start, _ = draw_span(draw, content)
    token = draw(st.sampled_from(TOKENS) | st.binary(max_size=8))
    return content[:start] + token + content[start + len(token) :]


def insert(draw, content: bytes) -> bytes:
    start, _ = draw_span(draw, content)
    return content[:start] + draw(st.sampled_from(TOKENS) | st.binary(max_size=8)) + content[start:]


def delete(draw, content: bytes) -> bytes:
    start, end = draw_span(draw, content)
    return content[:start] + content[end:]


def double(draw, content: bytes) -> bytes:
    start, end = draw_span(draw, content)
    return content[:end] + content[start:end] + content[end:]


def move(draw, content: bytes) -> bytes:
    start, end = draw_span(draw, content)
    span, rest = content[start:end], content[:start] + content[end:]
    to = draw(st.integers(0, len(rest)))
    return rest[:to] + span + rest[to:]


def truncate(draw, content: bytes) -> bytes:
    return content[: draw(st.integers(0, len(content)))]


def change_lines(draw, content: bytes) -> bytes:
    """Drop, double, swap or interleave whole lines."""
    lines = content.splitlines(keepends=True) or [b""]
    one, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    kind = draw(st.sampled_from(["drop", "double", "swap", "interleave", "blank"]))
    if kind == "drop":
        del lines[one]
    elif kind == "double":
        lines.insert(other, lines[one])
    elif kind == "swap":
        lines[one], lines[other] = lines[other], lines[one]
    elif kind == "interleave":
        half = len(lines[one]) // 2
        lines[one] = lines[one][:half] + lines[other]
    else:
        lines.insert(one, draw(st.sampled_from([b"\n", b"\r\n", b" \n", b"\t\n", b",\n", b'""\n'])))
    return b"".join(lines)


def change_cell(draw, content: bytes) -> bytes:
    """Give one cell of a CSV another text, a near-valid one more often than not."""
    lines = content.split(b"\n")
    row = draw(st.integers(0, len(lines) - 1))
    cells = lines[row].split(b",")
    cells[draw(st.integers(0, len(cells) - 1))] = draw(near_valid_cells()).encode("utf-8", "surrogatepass")
    lines[row] = b",".join(cells)
    return b"\n".join(lines)


@st.composite
def near_valid_cells(draw) -> str:
    """Numbers as people and programs write them, right and not quite right."""
    digits = draw(st.text("0123456789", max_size=4) | st.integers(-2, 300).map(str) | st.text(max_size=3))
    zeros = "0" * draw(st.sampled_from([0, 0, 0, 1, 2, 5000]))
    space, tail = (draw(st.sampled_from(["", "", "", " ", "\t", "  ", "\xa0", "\x0b", "\x0c"])) for _ in range(2))
    sign = draw(st.sampled_from(["", "", "", "", "-", "+", "="]))
    end = draw(st.sampled_from(["", "", "", ".", ".0", "e0", ",", "f", "%"]))
    quote, unquote = draw(
        st.sampled_from([("", ""), ("", ""), ('"', '"'), ('"', ""), ("", '"'), ('""', '""'), ("'", "'")])
    )
    return f"{quote}{space}{sign}{zeros}{digits}{end}{tail}{unquote}"


OPERATIONS = [flip_bit, overwrite, insert, delete, double, move, truncate, change_lines, change_cell]


@st.composite
def mutated(draw, *contents: bytes) -> bytes:
    """The first content after one to four mutations; the others are what it may be spliced with."""
    content = contents[0]
    for _ in range(draw(st.integers(1, 4))):
        if len(contents) > 1 and draw(st.integers(0, 9)) == 0:
            other = draw(st.sampled_from(contents[1:]))
            content = content[: draw(st.integers(0, len(content)))] + other[draw(st.integers(0, len(other))) :]
        else:
            content = draw(st.sampled_from(OPERATIONS))(draw, content)
    return content
