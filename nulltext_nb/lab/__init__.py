"The laboratory: what is measured, and on what."
