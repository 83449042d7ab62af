"""The Python peers of `cargo xtask bench tables`, each with the options that make it fast or small.

Usage: tables.py versions
       tables.py read-polars FILE | read-openpyxl FILE
       tables.py new-xlsxwriter FILE ROWS | new-openpyxl FILE ROWS
       tables.py pending-polars FILE COLUMN

Each prints how many rows it saw. What one does not use is not imported: its start is part of what is measured.
"""

import sys
from importlib.metadata import version

NAMES = ["id", "score", "a", "b", "c", "kind"]
KINDS = ["news", "question", "complaint"]


def text(row, column):
    number = (row * 2654435761 + column) % 1000000007
    return f"row {row} column {column}: words that a person would write & more <of> it, {number}"


def rows(n):
    for row in range(1, n + 1):
        yield [row, row * 0.37, text(row, 2), text(row, 3), text(row, 4), KINDS[row % 3]]


def read_polars(path):
    import polars

    return polars.read_excel(path, engine="calamine").height


def read_openpyxl(path):
    import openpyxl

    book = openpyxl.load_workbook(path, read_only=True)
    return sum(1 for _ in book.worksheets[0].iter_rows(min_row=2, values_only=True))


def new_xlsxwriter(path, n):
    import xlsxwriter

    with xlsxwriter.Workbook(path, {"constant_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, NAMES)
        for at, row in enumerate(rows(int(n)), 1):
            sheet.write_number(at, 0, row[0])
            sheet.write_number(at, 1, row[1])
            for column in range(2, 6):
                sheet.write_string(at, column, row[column])
    return n


def new_openpyxl(path, n):
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append(NAMES)
    for row in rows(int(n)):
        sheet.append(row)
    book.save(path)
    return n


def pending_polars(path, column):
    import polars

    # As text, so that nothing in the rows becomes another value; `00123` is not a number.
    table = polars.scan_csv(path, infer_schema=False)
    empty = polars.col(column).is_null() | (polars.col(column).str.strip_chars() == "")
    return table.filter(empty).collect().height


def versions():
    packages = ["polars", "fastexcel", "XlsxWriter", "openpyxl"]
    return ", ".join(f"{package} {version(package)}" for package in packages)


if __name__ == "__main__":
    command, *rest = sys.argv[1:]
    said = globals()[command.replace("-", "_")](*rest)
    print(said if command == "versions" else f"{said} rows")
