"Things to play with, and the editor."
