"""Serves a local page on which a model is steered by hand; see `launch/explore.py`.

state      the parts of an image, as the page's controls set them
engine     renders states, and writes the command lines that draw the same images
latest     answers the newest request and drops those it overtook
style      the page's style sheet
panel      the controls: sliders, seeds, the gallery
page       the page itself; only it and the panel need nicegui
server     the web server
"""
