"""What `import bench.codecs.dac_44k` gives: DAC at one of its rates, all of which are in series/dac.py."""

import sys

from bench.codecs.series.dac import CODECS

sys.modules[__name__] = CODECS["dac_44k"]  # type: ignore[assignment]
