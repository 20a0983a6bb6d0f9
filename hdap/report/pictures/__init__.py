"""Pictures of what a database holds: prepared as plain numbers first, drawn by Altair second.

from hdap.fleet_data.store import Store
from hdap.report.pictures.registry import picture

with Store.open("hdap.db") as store:
    figure = picture(store, "pareto")
figure                      # in a notebook; or figure.write(Path("pareto.png"))
"""
