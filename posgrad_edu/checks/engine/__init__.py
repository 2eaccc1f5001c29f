"""How a check works, whatever is checked: tasks and mistakes, draws, the call, the comparison, the diagnosis."""
