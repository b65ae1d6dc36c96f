"""The panel: a class for each of its sections, its dialogs, and its texts.

Imports the four other folders, and none of them imports it.
Begin with `Panel`, which holds the sections together.
"""
