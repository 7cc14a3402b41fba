"""From an export of hostile archives to marks: ``archives`` and ``collect`` read them, ``repair`` puts notebooks
back into order, ``sandbox`` and ``isolated`` run the blanks, ``grade`` marks them, ``findings`` looks at the
records, ``gradebook`` and ``pages`` show everything to the TA.

Not in the student edition: the known mistakes are read from which the right answers follow.
"""
