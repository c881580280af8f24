"A class that diffusers loads with custom_pipeline=FOLDER."
