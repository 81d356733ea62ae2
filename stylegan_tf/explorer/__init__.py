"""Serves a local page on which a model is steered by hand; see `launch/explore.py`.

state            the parts of an image, as the page's controls set them
engine           renders states
command          writes the command lines that draw the same images
work             drags points, projects, tunes, makes films and sheets, part by part
jobs             does the work of all tabs, one after the other
latest           answers the newest request and drops those it overtook
shelf            the models that the page offers
guard            who may ask for the page, and for how much
style            the page's style sheet and scripts
server           the web server

The page itself; only these need nicegui:

controls, fields     sliders, buttons, fields
panel                seeds, truncation, classes, mixing, noise; the gallery
hand                 the pointer on the picture: steering, points, the brush
direction_dials      directions, their strips and names
own_card             the user's own picture
workbench            the bar of long work
page                 all of it
"""
