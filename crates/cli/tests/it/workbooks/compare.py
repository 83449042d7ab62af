"""Says how two workbooks differ, and what the new columns of a sheet hold: compare.py BEFORE AFTER SHEET COLUMN..."""

import json
import sys
import zipfile

from openpyxl import load_workbook

before_path, after_path, name, *columns = sys.argv[1:]
before, after = load_workbook(before_path), load_workbook(after_path)
differences = []


def same(what, a, b):
    if a != b:
        differences.append(f"{what}: {a!r} became {b!r}")


same("sheets", before.sheetnames, after.sheetnames)
same("names", sorted(before.defined_names), sorted(after.defined_names))
for sheet in before.sheetnames:
    old, new = before[sheet], after[sheet]
    for what in ["sheet_state", "freeze_panes", "_charts"]:
        a, b = getattr(old, what), getattr(new, what)
        same(f"{sheet} {what}", len(a) if what == "_charts" else a, len(b) if what == "_charts" else b)
    same(f"{sheet} filter", old.auto_filter.ref, new.auto_filter.ref)
    same(f"{sheet} merged", str(old.merged_cells), str(new.merged_cells))
    same(f"{sheet} tables", list(old.tables), list(new.tables))
    same(f"{sheet} validations", str(old.data_validations), str(new.data_validations))
    same(f"{sheet} conditions", len(old.conditional_formatting), len(new.conditional_formatting))
    for letter, width in old.column_dimensions.items():
        same(f"{sheet} {letter}", (width.width, width.hidden), (new.column_dimensions[letter].width, new.column_dimensions[letter].hidden))
    same(f"{sheet} height", old.row_dimensions[3].height, new.row_dimensions[3].height)
    for row in old.iter_rows():
        for cell in row:
            other = new[cell.coordinate]
            if other.column > old.max_column:
                continue
            for what in ["value", "data_type", "number_format"]:
                same(f"{sheet} {cell.coordinate} {what}", getattr(cell, what), getattr(other, what))
            for what in ["font", "fill", "border", "alignment"]:
                same(f"{sheet} {cell.coordinate} {what}", repr(getattr(cell, what)), repr(getattr(other, what)))
            same(f"{sheet} {cell.coordinate} comment", cell.comment and cell.comment.text, other.comment and other.comment.text)
old, new = zipfile.ZipFile(before_path), zipfile.ZipFile(after_path)
same("parts", [part.filename for part in old.infolist()], [part.filename for part in new.infolist()])
changed = [part.filename for part in old.infolist() if old.read(part) != new.read(part.filename)]
rows = list(after[name].iter_rows(values_only=True))
places = [rows[0].index(column) for column in columns]
answers = [[row[place] for place in places] for row in rows[1:]]
print(json.dumps({"differences": differences, "changed": changed, "answers": answers}))
