"""Pictures of a code base, each one HTML file that loads nothing: a map of its files, and a report.

::

    map.py              what is on the map, and its page (map.html, map.css, map.js)
     ├─ layout.py         vectors to places in the plane; mesh.py has the forces
     └─ groups.py         which folders and languages have a colour
    tables.py           the report's page (report.html, report.css)
    report.py           what the report tells
     └─ duplicates.py     what is almost the same
         surveying.py     what a store knows of the files
         page.py          one HTML file, and where it is written (page.html, base.css)
"""

from anam_py.pictures.map import Colour, map_content, map_page
from anam_py.pictures.page import check_target, write_page
from anam_py.pictures.report import report_content
from anam_py.pictures.surveying import Survey, survey
from anam_py.pictures.tables import report_page

__all__ = ["Colour", "Survey", "check_target", "map_content", "map_page", "report_content", "report_page", "survey", "write_page"]
