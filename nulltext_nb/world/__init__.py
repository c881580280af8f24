"The small world that the embedded model knows: its pictures, their reader, and how the model was trained on them."
