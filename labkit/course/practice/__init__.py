"""What students have of the course: the check below each blank, and handing in.

``probe`` calls a function on plain data, ``judge`` compares what it did with what was expected, ``check`` says so
in the notebook, ``ask`` shows a quick question, ``submit`` packs the archive. ``visible/`` has each lab's visible
examples, ``questions/`` its questions.
"""
