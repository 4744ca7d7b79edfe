"use strict";
// How each metric follows listeners, line by line as Python wrote it.
bench.views.listeners = bench.linesView("listeners", "Listeners", ["pearson", "spearman", "kendall", "n"], "spearman", "listeners.csv");
