"""Text files that users write: lists of clips, events and ids."""

from pathlib import Path

from preprocessing.errors import NotFoundError, SetupError


def read_text(path: Path, what: str) -> str:
    r"""The text of a UTF-8 file, without byte-order mark, its lines ended by ``\n``.

    Args:
        path: the file.
        what: it should be, such as "manifest file".

    Raises:
        AvcmrError: no such file, or it is not UTF-8 or has NUL characters (the line is named).
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such {what}; correct its path") from None
    except IsADirectoryError:
        raise SetupError(f"{path}: a folder, where a {what} is wanted; correct its path") from None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _not_text(path, 1, "UTF-16", "UTF-16")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if b"\0" in data:
            raise SetupError(
                f"{path}: binary, not the text of a {what}; correct its path, or save it as CSV "
                "from the program that wrote it"
            ) from None
        wrong = f"byte {data[error.start : error.start + 1].hex()}"
        raise _not_text(path, _line_of(data, error.start), wrong, "CP1252") from None
    if b"\0" in data:
        raise _not_text(path, _line_of(data, data.index(b"\0")), "a NUL character", "UTF-16")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _line_of(data: bytes, place: int) -> int:
    before = data[:place].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return before.count(b"\n") + 1


def _not_text(path: Path, line: int, wrong: str, probably: str) -> SetupError:
    converted = path.with_stem(f"{path.stem}-utf8").name
    return SetupError(
        f"{path}: not UTF-8 text (line {line}: {wrong}); save it as UTF-8, from a "
        f"spreadsheet as 'CSV UTF-8', or: iconv -f {probably} -t UTF-8 {path.name} > {converted}"
    )
