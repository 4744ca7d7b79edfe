"""What `import bench.codecs.dac_24k` gives: DAC at one of its rates, all of which are in series/dac.py."""

import sys

from bench.codecs.series.dac import CODECS

sys.modules[__name__] = CODECS["dac_24k"]  # type: ignore[assignment]
