"""A local page on which a model is steered by hand; `launch/explore.py` serves it.

state      what a picture is made of, as the page's controls say it
engine     states to pictures, one model for all tabs
commands   states to command lines that draw the same pictures
latest     the newest request is answered, those it overtook are dropped
look       the page's style sheet
widgets    pieces of the page: sliders with their numbers, the gallery
page       the page itself; of these modules, only the last two need nicegui
server     the web server
"""
