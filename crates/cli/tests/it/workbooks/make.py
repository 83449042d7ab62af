"""Makes a workbook with all that people put into theirs: make.py FILE ROWS."""

import datetime
import sys

from openpyxl import Workbook
from openpyxl.chart import BarChart, Reference
from openpyxl.comments import Comment
from openpyxl.formatting.rule import CellIsRule
from openpyxl.styles import Alignment, Border, Font, PatternFill, Side
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.table import Table

path, n = sys.argv[1], int(sys.argv[2])
book = Workbook()
notes = book.active
notes.title = "说明"
notes["A1"] = "Read me first"
notes["B2"] = "=SUM('数据'!D2:D9)"
hidden = book.create_sheet("hidden")
hidden.sheet_state = "hidden"
sheet = book.create_sheet("数据")
sheet.append(["id", "phone", "text", "score", "when", "done", "total"])
for cell in sheet[1]:
    cell.font = Font(bold=True, color="FFFFFF")
    cell.fill = PatternFill("solid", fgColor="305496")
    cell.border = Border(bottom=Side(style="thin"))
for i in range(1, n + 1):
    when = datetime.datetime(2024, 2, 29, 13, 5, 0) + datetime.timedelta(days=i)
    text = f"message {i} & <b>, 你好\nsecond line" if i % 7 else None
    sheet.append([f"{i:05d}", "+8613800000000", text, i * 0.1, when, i % 2 == 0, f"=D{i + 1}*2"])
sheet["C2"].alignment = Alignment(wrap_text=True)
sheet["D2"].number_format = "0.00%"
sheet["C3"].comment = Comment("look here", "me")
sheet.column_dimensions["C"].width = 40
sheet.column_dimensions["B"].hidden = True
sheet.row_dimensions[3].height = 33
sheet.freeze_panes = "B2"
sheet.auto_filter.ref = f"A1:G{n + 1}"
allowed = DataValidation(type="list", formula1='"TRUE,FALSE"')
allowed.add(f"F2:F{n + 1}")
sheet.add_data_validation(allowed)
red = CellIsRule(operator="greaterThan", formula=["0.3"], fill=PatternFill("solid", bgColor="FF0000"))
sheet.conditional_formatting.add(f"D2:D{n + 1}", red)
chart = BarChart()
chart.add_data(Reference(sheet, min_col=4, min_row=1, max_row=n + 1), titles_from_data=True)
notes.add_chart(chart, "D5")
book.defined_names["scores"] = DefinedName("scores", attr_text=f"'数据'!$D$2:$D${n + 1}")
other = book.create_sheet("a table")
other.append(["a", "b"])
other.append([1, 2])
other.add_table(Table(displayName="T1", ref="A1:B2"))
book.save(path)
